/**
 * The dashboard `Attribution`: of the latency at the edge, how much is the gateway's, the mesh's, the
 * wire's and the applications', at the percentiles that one cares about.
 *
 * Only layout and wording stand here. What a figure means is decided in attribution-sql.ts.
 */
import * as common from '@grafana/grafana-foundation-sdk/common';
import { PanelBuilder as BarChartBuilder } from '@grafana/grafana-foundation-sdk/barchart';
import { ATTRIBUTION_SQL as SQL, KINDS, REASONS } from './attribution-sql.ts';
import { DATASOURCE, clickhouseQuery } from './clickhouse-query.ts';
import { dashboardOf } from './dashboard.ts';
import { traceLinks } from './links.ts';
import {
  bottomLegend,
  colorOverrides,
  GRID_COLUMNS,
  layOut,
  lines,
  stat,
  table,
} from './panels.ts';
import { livePage, route, topology } from './variables.ts';

const NAMES = KINDS.map((kind) => kind.name);
const PERCENTILES = ['p50', 'p90', 'p99', 'p99.9'];

function bars(): BarChartBuilder {
  const panel = new BarChartBuilder()
    .title('Where the time goes at a percentile')
    .description(
      'Mean of each segment among the requests near the percentile, in milliseconds; the bar is the mean ' +
        'of their durations without client wait. Parallel surplus is taken off: calls made side by side.',
    )
    .datasource(DATASOURCE)
    .unit('ms')
    .xField('band')
    .orientation(common.VizOrientation.Horizontal)
    .stacking(common.StackingMode.Normal)
    .showValue(common.VisibilityMode.Auto)
    .fillOpacity(80)
    .legend(bottomLegend())
    .height(10)
    .span(GRID_COLUMNS)
    .withTarget(clickhouseQuery('A', 'table', SQL.bars));
  for (const { name, properties } of colorOverrides(NAMES)) panel.overrideByName(name, properties);
  return panel;
}

function msTable(text: Parameters<typeof table>[0], columns: readonly string[]) {
  const panel = table(text);
  for (const name of columns) {
    panel.overrideByName(name, [
      { id: 'unit', value: 'ms' },
      { id: 'decimals', value: 3 },
    ]);
  }
  return panel;
}

/** The dashboard as Grafana's classic JSON model. Same object each time: no clock, no randomness. */
export function attribution() {
  const dashboard = dashboardOf(
    'attribution',
    'Where the latency of requests from outside goes, adding up.',
  )
    .withVariable(topology())
    .withVariable(route())
    .withVariable(livePage());
  layOut(dashboard, [
    [
      'In this window',
      [
        stat({
          title: 'Requests split',
          description: 'Requests from outside that are published, complete and no streams.',
          unit: 'short',
          sql: SQL.complete,
        }),
        stat({
          title: 'Incomplete',
          description: 'Share of the published requests that lack a record, and so enter no bar.',
          unit: 'percentunit',
          sql: SQL.incompleteShare,
        }),
        stat({
          title: "Gateway's share of the latency",
          description: "The gateways' own time over the duration of all complete requests.",
          unit: 'percentunit',
          sql: SQL.gatewayShare,
        }),
        stat({
          title: "Mesh's share of the latency",
          description: "The sidecars' own time over the duration of all complete requests.",
          unit: 'percentunit',
          sql: SQL.meshShare,
        }),
        stat({
          title: 'Greatest residual',
          description: 'What the segments of a complete request leave unexplained: 0.',
          unit: 'ns',
          sql: SQL.residual,
        }),
        stat({
          title: 'Published until',
          description: 'Requests up to here are in the figures.',
          unit: 'dateTimeAsIso',
          sql: SQL.publishedUntil,
        }),
      ],
    ],
    [
      'Percentiles',
      [
        bars(),
        msTable(
          {
            title: 'Bands',
            description:
              'The same as figures, in milliseconds. `few`: too few requests for a mean to say much.',
            sql: SQL.bands,
            height: 6,
          },
          ['total', ...NAMES],
        ),
        msTable(
          {
            title: 'Segments by name',
            description:
              'Mean milliseconds in each band: which proxy, which wire, which application. Greatest at p99 first.',
            sql: SQL.segments,
            height: 10,
          },
          PERCENTILES,
        ),
      ],
    ],
    [
      'Over time',
      [
        lines({
          title: 'Mean latency by segment',
          description: 'Means of all complete requests: the stack is their mean duration.',
          unit: 'ms',
          sql: SQL.overTime,
          series: NAMES,
          stacked: true,
        }),
        lines({
          title: 'Incomplete requests by reason',
          description: 'A request may lack several things; each is counted.',
          unit: 'short',
          sql: SQL.incompleteOverTime,
          series: Object.keys(REASONS),
        }),
      ],
    ],
    [
      'Incomplete',
      [
        table({
          title: 'Incomplete by reason',
          description: 'What each reason means: docs/GLOSSARY.md.',
          sql: SQL.incompleteByReason,
          height: 7,
        })
          .overrideByName('share', [{ id: 'unit', value: 'percentunit' }])
          .overrideByName('newest trace', [traceLinks]),
      ],
    ],
  ]);
  return dashboard.build();
}
