import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import {
  PERSPECTIVE_CHECK_SQL,
  directionByParameterSql,
  directionSql,
} from '../../../analytics/direction-sql.ts';
import { ATTR } from '../../../telemetry/names.ts';
import { EDGE_CLASSES, PERSPECTIVES, directionOf } from '../../../telemetry/edge-class.ts';

describe('direction SQL', () => {
  for (const perspective of PERSPECTIVES) {
    it(`maps every edge class as directionOf does, ${perspective}`, () => {
      const [, from = '', to = ''] =
        /^transform\(toString\(EdgeClass\), \[(.*)\], \[(.*)\], 'unknown'\)$/.exec(
          directionSql('EdgeClass', perspective),
        ) ?? [];
      const words = (list: string): string[] => list.split(', ').map((w) => w.slice(1, -1));
      assert.deepEqual(words(from), [...EDGE_CLASSES]);
      assert.deepEqual(
        words(to),
        EDGE_CLASSES.map((edgeClass) => directionOf(edgeClass, perspective)),
      );
    });
  }

  const schema = (file: string): string =>
    readFileSync(new URL(`../../../store/schema/${file}`, import.meta.url), 'utf8');

  it('is what the view `traffic` holds', () => {
    const view = schema('012_traffic.sql');
    assert.ok(view.includes(`${directionByParameterSql('EdgeClass')} AS Direction`));
    assert.ok(view.includes(PERSPECTIVE_CHECK_SQL));
  });

  it('is what the view `hops` holds, both readings side by side', () => {
    const view = schema('030_hops.sql');
    assert.ok(view.includes(`${directionSql('EdgeClass', 'split')} AS DirectionSplit`));
    assert.ok(view.includes(`${directionSql('EdgeClass', 'whole')} AS DirectionWhole`));
  });

  it('is what the view `otel_traces` holds, by the split reading that spans are tagged with', () => {
    const tag = `if(HopVersion + MirrorVersion = 0, '', ${directionSql('EdgeClass', 'split')})`;
    assert.ok(schema('042_otel_traces.sql').includes(`'${ATTR.direction}', ${tag}`));
  });
});
