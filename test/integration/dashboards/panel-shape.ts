/** What an answer of the store must look like for the panel that shows it. */
import assert from 'node:assert/strict';
import type { Panel, Target } from '../../helpers/grafana-dashboard.ts';

export interface Answer {
  readonly meta: readonly { readonly name: string; readonly type: string }[];
  readonly data: readonly Readonly<Record<string, unknown>>[];
}

const isNumber = (type: string): boolean => /^(Nullable\()?(U?Int|Float|Decimal)\d+/.test(type);

/** Columns of the kind that the panel needs, with the names that its overrides use. */
export function checkShape(panel: Panel, target: Target, { meta, data }: Answer): void {
  const at = `${panel.title}, target ${target.refId}`;
  assert.ok(data.length > 0, `${at} has rows`);
  switch (panel.type) {
    case 'timeseries': {
      const [time, ...values] = meta;
      assert.equal(time?.name, 'time', at);
      assert.match(time.type, /^DateTime/, at);
      assert.ok(values.length > 0, at);
      for (const value of values) assert.ok(isNumber(value.type), `${at}: ${value.name}`);
      const times = data.map((row) => String(row['time']));
      assert.deepEqual(times, [...times].sort(), `${at} is in order of time`);
      assert.equal(new Set(times).size, times.length, `${at} has one row a time`);
      break;
    }
    case 'stat':
      assert.equal(meta.length, 1, at);
      assert.equal(data.length, 1, at);
      assert.ok(isNumber(meta[0]!.type) || /DateTime/.test(meta[0]!.type), at);
      break;
    case 'table':
      break;
    case 'heatmap': {
      // Rows of a heat map: a time, then a count a band, named by the band's upper bound, ascending.
      const [time, ...bands] = meta;
      assert.equal(time?.name, 'time', at);
      assert.match(time.type, /^DateTime/, at);
      const bounds = bands.map(({ name }) => Number(name));
      assert.ok(bounds.length > 10, at);
      assert.ok(
        bounds.every((bound, i) => bound > (bounds[i - 1] ?? 0)),
        `${at}: ${bounds.join()}`,
      );
      for (const band of bands) assert.ok(isNumber(band.type), `${at}: ${band.name}`);
      const hops = data.flatMap((row) => bands.map(({ name }) => Number(row[name])));
      assert.ok(
        hops.some((n) => n > 0),
        `${at} has hops`,
      );
      break;
    }
    case 'barchart': {
      // One text for the axis, then a number a segment.
      const [category, ...values] = meta;
      assert.match(category?.type ?? '', /String/, at);
      assert.ok(values.length > 0, at);
      for (const value of values) assert.ok(isNumber(value.type), `${at}: ${value.name}`);
      break;
    }
    case 'nodeGraph':
      checkGraphFrame(at, target, { meta, data });
      break;
    case 'traces':
      checkTraceFrame(at, { meta, data });
      break;
    default:
      assert.fail(`${at}: no rule for panels of type ${panel.type}`);
  }
  if (panel.type === 'nodeGraph') return;
  const names = meta.map((column) => column.name);
  for (const { matcher } of panel.fieldConfig?.overrides ?? []) {
    assert.ok(names.includes(matcher.options), `${at} has the column "${matcher.options}"`);
  }
}

const typeOf = (meta: Answer['meta'], name: string, at: string): string => {
  const column = meta.find((one) => one.name === name);
  assert.ok(column !== undefined, `${at} has the column ${name}`);
  return column.type;
};

/** Fields by the names that the node graph panel reads. */
function checkGraphFrame(at: string, target: Target, { meta, data }: Answer): void {
  const known =
    target.refId === 'nodes'
      ? /^(id|title|subtitle|mainstat|secondarystat|color|icon|nodeRadius|(arc|detail)__\w+)$/
      : /^(id|source|target|mainstat|secondarystat|thickness|color|strokeDasharray|detail__\w+)$/;
  for (const { name } of meta) assert.match(name, known, at);
  for (const name of target.refId === 'nodes' ? ['id', 'title'] : ['id', 'source', 'target']) {
    assert.match(typeOf(meta, name, at), /String/, at);
    for (const row of data) assert.notEqual(row[name], '', `${at}: ${name}`);
  }
  assert.ok(isNumber(typeOf(meta, 'mainstat', at)), at);
  assert.equal(new Set(data.map((row) => row['id'])).size, data.length, `${at}: ids`);
  const arcs = meta.filter(({ name }) => name.startsWith('arc__'));
  if (target.refId !== 'nodes') return;
  for (const row of data) {
    const sum = arcs.reduce((total, { name }) => total + Number(row[name]), 0);
    assert.ok(Math.abs(sum - 1) < 1e-9, `${at}: the ring of ${String(row['id'])} sums to ${sum}`);
  }
}

/** Fields by the names of Grafana's trace frame. */
function checkTraceFrame(at: string, { meta, data }: Answer): void {
  for (const name of ['traceID', 'spanID', 'parentSpanID', 'serviceName', 'operationName']) {
    assert.match(typeOf(meta, name, at), /^(LowCardinality\()?String/, `${at}: ${name}`);
  }
  for (const name of ['startTime', 'duration', 'statusCode']) {
    assert.ok(isNumber(typeOf(meta, name, at)), `${at}: ${name}`);
  }
  for (const name of ['tags', 'serviceTags']) {
    assert.match(typeOf(meta, name, at), /^Array\(Map\(String, String\)\)$/, `${at}: ${name}`);
    for (const row of data) {
      for (const tag of row[name] as Record<string, string>[]) {
        assert.deepEqual(Object.keys(tag).sort(), ['key', 'value'], at);
      }
    }
  }
  const ids = new Set(data.map((row) => row['spanID']));
  assert.equal(ids.size, data.length, `${at}: ids`);
  const roots = data.filter((row) => !ids.has(row['parentSpanID']));
  assert.equal(roots.length, 1, `${at} hangs together`);
}
