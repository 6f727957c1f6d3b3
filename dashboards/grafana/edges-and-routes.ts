/**
 * The dashboard `Edges and routes`: who calls whom as a picture and as a table, what each route
 * costs, and how latency and own time are spread.
 *
 * Only layout and wording stand here. What a figure means is decided in edges-and-routes-sql.ts.
 */
import {
  ArcOptionBuilder,
  EdgeOptionsBuilder,
  NodeOptionsBuilder,
  PanelBuilder as NodeGraphBuilder,
} from '@grafana/grafana-foundation-sdk/nodegraph';
import type { PanelBuilder as TableBuilder } from '@grafana/grafana-foundation-sdk/table';
import { DATASOURCE, clickhouseQuery } from './clickhouse-query.ts';
import { dashboardOf } from './dashboard.ts';
import { EDGES_SQL as SQL } from './edges-and-routes-sql.ts';
import { routeLinks } from './links.ts';
import { GRID_COLUMNS, heat, layOut, table } from './panels.ts';
import { direction, perspective, route, topology } from './variables.ts';

/** Grafana takes the two frames by these names of their queries. */
function nodeGraph(): NodeGraphBuilder {
  return new NodeGraphBuilder()
    .title('Who calls whom')
    .description(
      'Legs per second, and p99 in milliseconds without client wait. Of a node: those that it received; its ' +
        'ring is red by the share that failed. An edge is red from 5 % failed on, else blue for north-south and ' +
        'orange for east-west.',
    )
    .datasource(DATASOURCE)
    .nodes(
      new NodeOptionsBuilder()
        .mainStatUnit('reqps')
        .secondaryStatUnit('ms')
        .arcs([
          new ArcOptionBuilder().field('arc__ok').color('#37872D'),
          new ArcOptionBuilder().field('arc__errors').color('#C4162A'),
        ]),
    )
    .edges(new EdgeOptionsBuilder().mainStatUnit('reqps').secondaryStatUnit('ms'))
    .height(16)
    .span(GRID_COLUMNS)
    .withTarget(clickhouseQuery('nodes', 'table', SQL.nodes))
    .withTarget(clickhouseQuery('edges', 'table', SQL.links));
}

function figures(text: Parameters<typeof table>[0]): TableBuilder {
  const panel = table(text);
  panel.overrideByName('errors', [
    { id: 'unit', value: 'percentunit' },
    { id: 'decimals', value: 1 },
  ]);
  for (const name of ['p50', 'p90', 'p99', 'own p50', 'own p99']) {
    panel.overrideByName(name, [
      { id: 'unit', value: 'ms' },
      { id: 'decimals', value: 2 },
    ]);
  }
  panel.overrideByName('legs/s', [{ id: 'decimals', value: 2 }]);
  for (const name of ['bytes in', 'bytes out']) {
    panel.overrideByName(name, [{ id: 'unit', value: 'bytes' }]);
  }
  return panel;
}

/** The dashboard as Grafana's classic JSON model. Same object each time: no clock, no randomness. */
export function edgesAndRoutes() {
  const dashboard = dashboardOf('edgesAndRoutes', 'Who calls whom, and what each route costs.')
    .withVariable(perspective())
    .withVariable(direction())
    .withVariable(topology())
    .withVariable(route());
  layOut(dashboard, [
    ['The mesh', [nodeGraph()]],
    [
      'Edges',
      [
        figures({
          title: 'Edges',
          description:
            'Legs by caller and callee, the busiest first. Latency is without client wait, in milliseconds; own ' +
            'time is that of the proxy which recorded the leg.',
          sql: SQL.edges,
        }),
      ],
    ],
    [
      'Routes',
      [
        figures({
          title: 'Routes',
          description: 'Legs by who served them and by the template of the route.',
          sql: SQL.routes,
        }).overrideByName('route', [routeLinks]),
      ],
    ],
    [
      'How long',
      [
        heat({
          title: 'Legs by latency',
          description: 'Without client wait. From the histograms of the rollup.',
          sql: SQL.latencyHeat,
        }),
        heat({
          title: 'Legs by own time of the proxy',
          description: 'What the proxies added themselves. From the histograms of the rollup.',
          sql: SQL.ownHeat,
        }),
      ],
    ],
  ]);
  return dashboard.build();
}
