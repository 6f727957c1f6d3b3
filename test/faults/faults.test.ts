import { MATRIX } from './matrix.ts';
import { runMatrix } from './runner.ts';

describe('Fault matrix', () => {
  runMatrix(MATRIX, 'ci');
});
