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
    default:
      assert.fail(`${at}: no rule for panels of type ${panel.type}`);
  }
  const names = meta.map((column) => column.name);
  for (const { matcher } of panel.fieldConfig?.overrides ?? []) {
    assert.ok(names.includes(matcher.options), `${at} has the column "${matcher.options}"`);
  }
}
