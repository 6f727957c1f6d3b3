import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';

/** Names that Node 18 exports: the entry must get as far as starting the newer Node with it. */
const IN_NODE_18 = [
  'spawn',
  'existsSync',
  'homedir',
  'join',
  'fileURLToPath',
  'setFlagsFromString',
];

describe('bin/azimuth.js', () => {
  it('imports by name only what an old Node has, so that it can start the one that npm brought', () => {
    const text = readFileSync(new URL('../../../bin/azimuth.js', import.meta.url), 'utf8');
    const lists = [...text.matchAll(/^import \{([^}]*)\} from/gm)].map(([, names]) => names!);
    const names = lists.flatMap((list) => list.split(',').map((name) => name.trim()));
    assert.ok(names.length > 0);
    assert.deepEqual(
      names.filter((name) => !IN_NODE_18.includes(name)),
      [],
    );
  });
});
