/** Seeded random numbers for tests: the same seed, the same run. Print the seed. */
export { seededRandom } from '../../runtime/seeded-random.ts';
