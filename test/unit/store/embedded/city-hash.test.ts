import assert from 'node:assert/strict';
import { cityHash128 } from '../../../../store/embedded/city-hash.ts';

/** Length and both halves, by go-faster/city's CH128, of the bytes that `bytesOf` makes one after the other. */
const VALUES: readonly (readonly [length: number, low: string, high: string])[] = [
  [0, '3df09dfc64c09a2b', '3cb540c392e51e29'],
  [1, '7bb5a1188e45cb35', 'be1b3f2a76e8f53b'],
  [2, '2e1e2dc2027bcc5a', '9fddf45960804978'],
  [3, '2a4a1f1e25475191', '43e93266f3adfcab'],
  [4, '7dd79e57e8c86263', '94ad02eadb7a8f50'],
  [5, '378d43c2c25db381', '1e27da4e30b52dbe'],
  [7, 'c22195aa3ef79212', '4ee5af38fb324991'],
  [8, '253f36f112f7052a', '10c6844e9d923e2c'],
  [9, 'a5d17d2e02fe77e5', 'bd9fd04a08c172ca'],
  [12, '9175310f7c40a8ec', 'b1be5515e43d55ad'],
  [15, '2729dd8aeaae4bc5', 'dae2bce050ad8757'],
  [16, '320553b366687fc1', 'd60febf03c9f7026'],
  [17, '28d2262dfa2029da', '13183bca5698d6ab'],
  [20, '80092f3c3decf0d9', '502048134dc7d2f2'],
  [24, '9b1482899f4b4a41', '5a855a97ebc8e0cb'],
  [31, '5dafdec6958631c6', '06b0acf295bd0d80'],
  [32, '4cb23888817dd895', '23b7c6a055e31caa'],
  [33, 'ad7c9a24360c9d5c', '48740ca77f522352'],
  [40, 'a2d1a1e9b4d8483f', 'cb52b6c8895b8251'],
  [47, '426107005f21f534', '2f5f5ea9b417cd35'],
  [48, '8198eba76308089c', 'efc1552dc1b47f0c'],
  [63, '2fb96668465fbe8c', '9a0894d1dc3130b2'],
  [64, '33b5e86f196924ff', 'eaf795ac581624cd'],
  [100, 'a18202c409170fe3', '4e5ebffecb40b7c1'],
  [127, 'cf4d2d9ebc53303f', 'd2f13d5b2c65d2cb'],
  [128, '2a4361b651064751', 'a8a88aa1ee0a16a5'],
  [129, 'c3cff182de3e94bf', '0f2201f5b464e1bb'],
  [143, 'fb755d4ed466e63c', '85bfd1708db47f5c'],
  [144, '7a178e9fcd63d87a', '0b725a599931c3f2'],
  [145, '02e963cec4011299', 'f2119a9bcfc0813d'],
  [160, 'b520aa3a5fd1bcf6', 'e6e0b79f330cf817'],
  [175, 'e25dae9f45b8ce81', 'a92e2a0d7660e07c'],
  [176, 'ede6b266afedd73e', 'a088460c7d910edb'],
  [177, '0329b28a8bcebbe5', 'a5c198148661ba3f'],
  [191, 'e58d825b97752f74', '3a7394d28d5ad766'],
  [200, '3e7abfb2e5000f34', 'b18374ce4fb1d2cb'],
  [255, '2c400b2fc5d6a959', 'b73c6d8b7b6e4e5b'],
  [256, '4f995545c6e85137', '4a18090b05b2d64f'],
  [271, 'a3cd85e53f59958c', '3a9c1489d27553d3'],
  [272, 'a714a7da768c1399', '188a0451bc0ce206'],
  [273, '1cdc48469a2882f2', 'eccfa3c1dc01eede'],
  [300, '726315a0a8affec7', '6b59a4c2916a7293'],
  [400, 'c40b93b8f0d7c53c', '8dc06a4789dfdac3'],
  [1000, '5f0e7039c7e6d237', '5dd9990b22392aae'],
  [4096, 'ada6c4133688038b', '2fbba17e64ce7b2a'],
  [65537, '368cdd8e58f99688', '56371feb214fb0cf'],
];

describe('cityHash128', () => {
  it("gives ClickHouse's values for every way that its length sends it", () => {
    let seed = 1;
    for (const [length, low, high] of VALUES) {
      const bytes = Uint8Array.from({ length }, () => {
        seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
        return seed >>> 24;
      });
      const halves = cityHash128(bytes).map((half) => half.toString(16).padStart(16, '0'));
      assert.deepEqual(halves, [low, high], `${length} bytes`);
    }
  });

  it('does not depend on where the bytes lie', () => {
    const bytes = Buffer.from('x'.repeat(200));
    const moved = Buffer.concat([Buffer.from('123'), bytes]).subarray(3);
    assert.deepEqual(cityHash128(moved), cityHash128(bytes));
  });
});
