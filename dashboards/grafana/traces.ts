/**
 * The dashboard `Traces`: slow and failing requests, and one of them in full: its spans, its hops with
 * the proxies' own time, and the segments that its duration is made of.
 *
 * Only layout and wording stand here. What a figure means is decided in traces-sql.ts.
 */
import { PanelBuilder, type Panel } from '@grafana/grafana-foundation-sdk/dashboard';
import type { Builder } from '@grafana/grafana-foundation-sdk/cog';
import type { PanelBuilder as TableBuilder } from '@grafana/grafana-foundation-sdk/table';
import { DATASOURCE, clickhouseQuery } from './clickhouse-query.ts';
import { dashboardOf } from './dashboard.ts';
import { routeLinks, traceLinks } from './links.ts';
import { GRID_COLUMNS, layOut, table } from './panels.ts';
import { TRACES_SQL as SQL } from './traces-sql.ts';
import { direction, livePage, perspective, route, topology, trace } from './variables.ts';

const MS = [
  { id: 'unit', value: 'ms' },
  { id: 'decimals', value: 3 },
];

function milliseconds(text: Parameters<typeof table>[0], columns: readonly string[]): TableBuilder {
  const panel = table(text);
  for (const name of columns) panel.overrideByName(name, MS);
  return panel;
}

const requests = (text: Parameters<typeof table>[0]): TableBuilder =>
  milliseconds(text, ['latency', 'own'])
    .overrideByName('trace', [traceLinks])
    .overrideByName('route', [routeLinks]);

/** The SDK has no builder for the trace panel, which has no options either. */
function tracePanel(): Builder<Panel> {
  return new PanelBuilder()
    .type('traces')
    .title('Spans of the trace')
    .description('Of the trace picked above: hops of proxies, and spans of applications.')
    .datasource(DATASOURCE)
    .height(16)
    .span(GRID_COLUMNS)
    .withTarget(clickhouseQuery('A', 'traces', SQL.trace));
}

/** The dashboard as Grafana's classic JSON model. Same object each time: no clock, no randomness. */
export function traces() {
  const dashboard = dashboardOf('traces', 'Slow and failing requests, and one of them in full.')
    .withVariable(perspective())
    .withVariable(direction())
    .withVariable(topology())
    .withVariable(route())
    .withVariable(trace())
    .withVariable(livePage());
  layOut(dashboard, [
    [
      'Requests from outside',
      [
        requests({
          title: 'Slowest requests',
          description:
            'By duration without client wait; streams are left out. `own` is that of the first proxy.',
          sql: SQL.slowest,
          span: GRID_COLUMNS / 2,
        }),
        requests({
          title: 'Newest failed requests',
          description: 'Answered 5xx or not at all.',
          sql: SQL.failed,
          span: GRID_COLUMNS / 2,
        }),
      ],
    ],
    [
      'Legs',
      [
        requests({
          title: 'Slowest legs',
          description: 'Of the direction picked, under the perspective picked.',
          sql: SQL.slowestLegs,
        }),
      ],
    ],
    [
      'One trace',
      [
        tracePanel(),
        milliseconds(
          {
            title: 'Hops of the trace',
            description:
              'Each pass through a proxy: its duration is client wait + upstream + back-off + own.',
            sql: SQL.hops,
            span: 14,
          },
          ['duration', 'own', 'upstream', 'client wait', 'backoff'],
        ),
        milliseconds(
          {
            title: 'Segments of the trace',
            description: 'They sum to its duration. Published about two minutes after the request.',
            sql: SQL.segments,
            span: 10,
          },
          ['time'],
        ).overrideByName('share', [
          { id: 'unit', value: 'percentunit' },
          { id: 'decimals', value: 1 },
        ]),
      ],
    ],
  ]);
  return dashboard.build();
}
