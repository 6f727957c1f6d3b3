import assert from 'node:assert/strict';
import type { ProxyPart } from '../../../mesh/part.ts';
import { planReload } from '../../../proxy/reload-plan.ts';
import { ProxyLab } from '../../helpers/proxy-lab.ts';

describe('planReload', () => {
  const part = new ProxyLab({ endpoints: [{ host: '127.0.0.1', port: 9 }] }).part;
  const plan = (change: Partial<ProxyPart>) => planReload(part, { ...structuredClone(part), ...change }); // prettier-ignore
  const telemetry = (change: Partial<ProxyPart['telemetry']>) => ({
    telemetry: { ...part.telemetry, ...change },
  });

  it('finds nothing in a part that differs by its generation alone', () => {
    assert.deepEqual(plan({ generation: 99 }), {
      unchanged: true,
      needsStart: [],
      needsWorker: [],
    });
  });

  it('takes changed listeners while the proxy runs', () => {
    const [listener] = part.listeners;
    assert.deepEqual(plan({ listeners: [{ ...listener!, port: 8_080 }] }), {
      unchanged: false,
      needsStart: [],
      needsWorker: [],
    });
  });

  it('names the keys that need another worker process', () => {
    const change = { mesh: 'another', ...telemetry({ flush_interval_ms: 5, path: 'hash' }) };
    const { unchanged, needsStart, needsWorker } = plan(change);
    assert.equal(unchanged, false);
    assert.deepEqual(needsStart, []);
    assert.deepEqual([...needsWorker].sort(), [
      'mesh',
      'telemetry.flush_interval_ms',
      'telemetry.path',
    ]);
  });

  it('names the keys that need another start, the folder of the counter files among them', () => {
    const change = { workers: 3, admin: { host: '127.0.0.1', port: 1 } };
    const { needsStart, needsWorker } = plan({ ...change, ...telemetry({ state_dir: '/var/x' }) });
    assert.deepEqual([...needsStart].sort(), ['admin', 'telemetry.state_dir', 'workers']);
    assert.deepEqual(needsWorker, []);
  });
});
