import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { START_FLAGS } from '../../../runtime/young-generation.ts';

const run = promisify(execFile);
const MODULE = new URL('../../../runtime/young-generation.ts', import.meta.url).href;

/** Makes garbage of which a little survives, in turns; tells the size of the young generation in MiB. */
const script = (body: string): string => `
  import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8';
  import { boundYoungGeneration } from '${MODULE}';
  const size = () => getHeapSpaceStatistics().find((s) => s.space_name === 'new_space').space_size / 2 ** 20;
  const kept = [];
  const work = async (turns) => {
    for (let turn = 0; turn < turns; turn++) {
      for (let i = 0; i < 20_000; i++) kept[i % 500] = { i, more: [i] };
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  };
  ${body}`;

async function printed(body: string): Promise<string> {
  const args = [...START_FLAGS, '--input-type=module', '-e', script(body)];
  return (await run(process.execPath, args)).stdout.trim();
}

describe('The young generation of a proxy', () => {
  it('grows to its size and no further', async () => {
    assert.equal(
      await printed('boundYoungGeneration(); await work(150); console.log(size());'),
      '8',
    );
  });

  it('grows again after V8 made it smaller, as it does where little happens', async () => {
    const shrunk = `
      boundYoungGeneration();
      await work(150);
      // A collection as V8 does it then: all that can be given back is.
      const { runInNewContext } = await import('node:vm');
      runInNewContext('gc')({ type: 'major', flavor: 'last-resort' });
      const small = size();
      await work(150);
      console.log(small < 8, size());`;
    assert.equal(await printed(shrunk), 'true 8');
  });
});
