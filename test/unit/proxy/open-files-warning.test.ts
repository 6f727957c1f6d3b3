import assert from 'node:assert/strict';
import { DEFAULT_LIMITS_PART } from '../../../mesh/limits.ts';
import { warnOfOpenFiles } from '../../../proxy/open-files-warning.ts';
import { silentLog, type Log } from '../../../runtime/log.ts';

/** The warnings for so many open files, where the mesh file sets these limits. */
function warnings(
  filesMax: number,
  set: Partial<typeof DEFAULT_LIMITS_PART> = {},
  listeners = 1,
): [message: string, fields: Readonly<Record<string, unknown>>][] {
  const said: ReturnType<typeof warnings> = [];
  const log: Log = { ...silentLog, warn: (message, fields = {}) => said.push([message, fields]) };
  warnOfOpenFiles({ ...DEFAULT_LIMITS_PART, ...set }, listeners, log, filesMax);
  return said;
}

describe('The warning of too few open files', () => {
  it('stays away where the limit is left at its default and many fit, however many listeners', () => {
    assert.deepEqual(warnings(20_000), []);
    assert.deepEqual(warnings(20_000, {}, 30), []);
    assert.deepEqual(warnings(Infinity), []);
  });

  it('comes at the default when so few fit that one client could take them all', () => {
    const [[message, fields] = ['', {}], ...more] = warnings(1_024);
    assert.match(message, /^one client could take every connection/);
    assert.deepEqual([fields['connections'], fields['wanted'], more], [384, 2_500, []]);
    assert.match(String(fields['advice']), /to 5256, or lower limits\.connections_per_client/);
    assert.deepEqual(warnings(5_256), []);
  });

  it('comes when fewer fit than the mesh file asks for on all listeners, and says what is needed', () => {
    const set = { connections_per_listener: 4_000 };
    const [[message, fields] = ['', {}]] = warnings(16_000, set, 2);
    assert.match(message, /^fewer client connections than configured/);
    assert.deepEqual([fields['connections'], fields['wanted']], [7_872, 8_000]);
    assert.match(String(fields['advice']), /to 16256, or lower limits\.connections_per_listener/);
    assert.deepEqual(warnings(16_256, set, 2), []);
  });
});
