import assert from 'node:assert/strict';
import type { ProxyPart } from '../../../../mesh/part.ts';
import { configSnapshot } from '../../../../proxy/admin/config-snapshot.ts';
import { DEFAULT_LIMITS } from '../../../../proxy/limits.ts';

describe('configSnapshot', () => {
  it('replaces every secret, wherever it stands, and keeps the rest', () => {
    const part = {
      source: '/etc/azimuth/mesh.yaml',
      generation: 3,
      name: 'edge',
      telemetry: {
        otlp: { endpoint: 'https://user:hunter2@collector:4318', token: 'hunter2' },
        kafka: { sasl: { username: 'azimuth', password: 'hunter2' }, brokers: ['kafka:9092'] },
      },
      listeners: [
        { routes: [{ template: '/a/{b}', segments: ['a', '{}'], client_secret: 'hunter2' }] },
      ],
    } as unknown as ProxyPart;
    const snapshot = configSnapshot(part, DEFAULT_LIMITS);
    const text = JSON.stringify(snapshot);
    assert.ok(!text.includes('hunter2'), text);
    assert.equal(text.split('[REDACTED]').length, 5);
    assert.match(text, /"username":"azimuth"/);
    assert.match(text, /"template":"\/a\/\{b\}"/);
    assert.equal(snapshot.source, '/etc/azimuth/mesh.yaml');
    assert.equal(snapshot.generation, 3);
    assert.deepEqual(JSON.parse(text), snapshot);
  });
});
