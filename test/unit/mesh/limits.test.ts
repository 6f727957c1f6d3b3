import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import {
  DEFAULT_LIMITS_PART,
  LIMIT_RELATIONS,
  limitContradictions,
  LIMITS,
} from '../../../mesh/limits.ts';
import { validateMesh } from '../../../mesh/load.ts';
import { CODEC_LIMITS, limitsOf } from '../../../proxy/limits.ts';
import { SCRATCH_BYTES } from '../../../proxy/codec/output.ts';

const faultsOf = (limits: string): readonly string[] =>
  validateMesh(
    'mesh.yaml',
    `file_format: "1.0"\nmesh: shop\nstore: { password: "\${env:SECRET}" }\nlimits:\n${limits}`,
    () => 'x',
    '',
  ).faults;

describe('Limits of a mesh file', () => {
  it('reach the proxy under their names in code', () => {
    const limits = limitsOf({ ...DEFAULT_LIMITS_PART, connections_per_client: 7 });
    assert.equal(limits.connectionsPerClient, 7);
    assert.equal(limits.bodyMinBytesPerS, 240);
    for (const [name, value] of Object.entries(limits)) assert.equal(typeof value, 'number', name);
  });

  it('have defaults within their ranges that contradict nothing', () => {
    for (const [name, { default: value, min, max }] of Object.entries(LIMITS)) {
      assert.ok(value >= min && value <= max, name);
    }
    assert.deepEqual(limitContradictions({}), []);
  });

  it('name both keys where one contradicts the other, with line and what to do', () => {
    assert.deepEqual(faultsOf('  connections_per_listener: 100\n  connections_per_client: 200\n'), [
      'mesh.yaml:6:27 limits.connections_per_client: connections_per_client (200) is more than ' +
        'connections_per_listener (100): else it can never be met ' +
        '(lower connections_per_client, or raise connections_per_listener to 200)',
    ]);
  });

  it('count as their defaults where they are left out, and the message says so', () => {
    assert.match(
      faultsOf('  requests_per_cluster: 4096\n')[0] ?? '',
      /^mesh.yaml:5:25 limits.requests_per_cluster: requests_per_cluster \(4096\) times 65536 is more than memory_in_flight_bytes \(67108864, its default\)/,
    );
  });

  for (const { less, times, most } of LIMIT_RELATIONS) {
    it(`refuse ${less} above ${most}`, () => {
      const enough = limitContradictions({ [less]: 1_000, [most]: 1_000 * times });
      assert.deepEqual(
        enough.filter(({ message }) => message.startsWith(less)),
        [],
      );
      const tooMuch = limitContradictions({ [less]: 1_001, [most]: 1_000 * times });
      assert.equal(tooMuch.filter(({ message }) => message.startsWith(less)).length, 1);
    });
  }

  it('refuse what is out of range, and unknown names', () => {
    const faults = faultsOf('  head_timeout_ms: 10\n  head_timeout: 5\n');
    assert.match(faults.join('\n'), /head_timeout_ms: 10 is less than 100/);
    assert.match(faults.join('\n'), /unknown key/);
  });

  it('stand in docs/LIMITS.md with their defaults, as do those of the codec', () => {
    const page = readFileSync(new URL('../../../docs/LIMITS.md', import.meta.url), 'utf8');
    const rows = [...page.matchAll(/^\| `(\w+)` \| ([\d,]+) /gm)].map(
      ([, name, value]) => [name, Number(value!.replaceAll(',', ''))] as const,
    );
    assert.deepEqual(
      Object.fromEntries(rows),
      Object.fromEntries([
        ...Object.entries(LIMITS).map(([name, limit]) => [name, limit.default]),
        ...Object.entries(CODEC_LIMITS),
      ]),
    );
  });
});

describe('Limits of the codec', () => {
  it('fit into each other', () => {
    const codec: Readonly<Record<keyof typeof CODEC_LIMITS, number>> = CODEC_LIMITS;
    const { headBytes, requestLineBytes, methodBytes, trailerBytes } = codec;
    assert.ok(methodBytes < requestLineBytes && requestLineBytes < headBytes);
    assert.ok(trailerBytes <= headBytes);
    // One read, its head, interim responses and chunk framing are one write.
    assert.ok(65_536 + headBytes < SCRATCH_BYTES);
    assert.equal(LIMITS.request_body_bytes.max, CODEC_LIMITS.contentLengthMax);
    // "0\r\n" to 2^40 in hexadecimal is longer than a chunk may be, so no chunk escapes the length.
    assert.ok(16 ** CODEC_LIMITS.chunkSizeDigits < CODEC_LIMITS.contentLengthMax);
  });
});
