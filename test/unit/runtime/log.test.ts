import assert from 'node:assert/strict';
import { createLog, silentLog, type LogSettings } from '../../../runtime/log.ts';

function recorded(settings: LogSettings = {}): {
  lines: string[];
  log: ReturnType<typeof createLog>;
} {
  const lines: string[] = [];
  return { lines, log: createLog({ ...settings, write: (line) => lines.push(line) }) };
}

describe('createLog', () => {
  it('writes one JSON object a line with time, level, message and fields', () => {
    const { lines, log } = recorded({ json: true });
    log.warn('queue is full', { dropped: 3, reason: 'queue_full' });
    assert.equal(lines.length, 1);
    const line = JSON.parse(lines[0]!) as Record<string, unknown>;
    assert.equal(line['level'], 'warn');
    assert.equal(line['message'], 'queue is full');
    assert.equal(line['dropped'], 3);
    assert.equal(line['reason'], 'queue_full');
    assert.match(String(line['time']), /^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
    assert.ok(lines[0]!.endsWith('\n'));
  });

  it('writes key=value text for people and leaves out absent fields', () => {
    const { lines, log } = recorded({ json: false });
    log.info('listening', { port: 8080, zone: undefined });
    assert.equal(lines[0], 'info  listening  port=8080\n');
    log.info('done');
    assert.equal(lines[1], 'info  done\n');
  });

  it('swallows lines below its level and keeps those at it', () => {
    const { lines, log } = recorded({ json: false, level: 'warn' });
    log.debug('a');
    log.info('b');
    log.warn('c');
    log.error('d');
    assert.deepEqual(
      lines.map((line) => line.trim()),
      ['warn  c', 'error d'],
    );
  });

  it('keeps a line whole when a value holds a line break', () => {
    const { lines, log } = recorded({ json: true });
    log.error('bad input', { detail: 'first\nsecond' });
    assert.equal(lines[0]!.split('\n').length, 2, 'one line and the end of it');
    assert.equal((JSON.parse(lines[0]!) as { detail: string }).detail, 'first\nsecond');
  });

  it('hands its fields on to a child, whose own fields win', () => {
    const { lines, log } = recorded({ json: true, fields: { process: 'gateway' } });
    log.with({ part: 'exporter', process: 'edge' }).info('x', { part: 'queue' });
    const line = JSON.parse(lines[0]!) as Record<string, unknown>;
    assert.equal(line['process'], 'edge');
    assert.equal(line['part'], 'queue');
    log.info('y');
    assert.equal((JSON.parse(lines[1]!) as Record<string, unknown>)['part'], undefined);
  });
});

describe('silentLog', () => {
  it('writes nothing, nor do its children', () => {
    const write = process.stderr.write.bind(process.stderr);
    const seen: unknown[] = [];
    process.stderr.write = (chunk: unknown): boolean => {
      seen.push(chunk);
      return true;
    };
    try {
      silentLog.error('a');
      silentLog.with({ part: 'b' }).error('c');
    } finally {
      process.stderr.write = write;
    }
    assert.deepEqual(seen, []);
  });
});
