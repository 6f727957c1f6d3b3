/**
 * The dashboard `Gateway vs mesh`: load and latency by direction and role, under the perspective
 * that the viewer picks.
 *
 * Only layout and wording stand here. What a figure means is decided in gateway-vs-mesh-sql.ts.
 */
import type { PanelBuilder as TableBuilder } from '@grafana/grafana-foundation-sdk/table';
import { dashboardOf } from './dashboard.ts';
import { SQL } from './gateway-vs-mesh-sql.ts';
import { heat, layOut, lines, stat, table, type Rows } from './panels.ts';
import { perspective, route, topology } from './variables.ts';

const quantileNames = (...series: readonly string[]): string[] =>
  series.flatMap((name) => [`p50 ${name}`, `p99 ${name}`]);

function partsTable(): TableBuilder {
  const percent = [
    { id: 'unit', value: 'percentunit' },
    { id: 'decimals', value: 1 },
  ];
  const panel = table({
    title: 'Gateway, gateway → mesh, mesh ↔ mesh',
    description:
      'All legs of the window by what they connect; each leg stands in one row. `own sidecar` are the legs ' +
      'between a workload and its own sidecar: they are counted, but have no direction and no share. ' +
      'Latency is without client wait, in milliseconds.',
    sql: SQL.parts,
  });
  for (const name of ['share', 'errors']) panel.overrideByName(name, percent);
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

const PANELS: Rows = [
  [
    'In this window',
    [
      stat({
        title: 'Requests from outside',
        description: 'Hops of class external_to_*: the same number in both perspectives.',
        unit: 'short',
        sql: SQL.requests,
      }),
      stat({
        title: 'Legs',
        description:
          'Counted hops between two parties. Legs between a workload and its own sidecar are left out.',
        unit: 'short',
        sql: SQL.legs,
      }),
      stat({
        title: 'East-west share of legs',
        description: 'Under the perspective picked above.',
        unit: 'percentunit',
        sql: SQL.eastWestShare,
      }),
      stat({
        title: 'Share that the perspective moves',
        description:
          "The gateway's internal legs: east-west when the gateway is split, north-south when it is whole.",
        unit: 'percentunit',
        sql: SQL.movedShare,
      }),
      stat({
        title: 'Requests failed',
        description: 'Requests from outside that were answered 5xx or not at all.',
        unit: 'percentunit',
        sql: SQL.requestErrors,
      }),
      stat({
        title: 'Final until',
        description:
          'Minutes up to here are published; later ones are computed from raw rows and may still change.',
        unit: 'dateTimeAsIso',
        sql: SQL.finalUntil,
      }),
    ],
  ],
  [
    'Load',
    [
      lines({
        title: 'Requests from outside per second',
        description: 'The same in both perspectives.',
        unit: 'reqps',
        sql: SQL.requestsPerSecond,
        series: ['requests'],
      }),
      lines({
        title: 'Legs per second by direction',
        description: 'The sum of the stack is the same in both perspectives.',
        unit: 'reqps',
        sql: SQL.legsPerSecond,
        series: ['north-south', 'east-west', 'unknown'],
        stacked: true,
      }),
      lines({
        title: 'Legs per second by role',
        description: 'Whose proxy carried the leg: a gateway or a sidecar of the mesh.',
        unit: 'reqps',
        sql: SQL.legsPerSecondByRole,
        series: ['gateway', 'mesh'],
        stacked: true,
      }),
      lines({
        title: 'Error ratio by direction',
        description: 'Share of legs answered 5xx or not at all.',
        unit: 'percentunit',
        sql: SQL.errorRatio,
        series: ['north-south', 'east-west'],
      }),
    ],
  ],
  [
    'Latency',
    [
      lines({
        title: 'Latency by direction, p50 and p99',
        description: 'Duration of hops without client wait. Dashed: p50.',
        unit: 'ms',
        sql: SQL.latencyByDirection,
        series: quantileNames('north-south', 'east-west'),
      }),
      lines({
        title: 'Latency by role, p50 and p99',
        description: 'Duration of hops without client wait. Dashed: p50.',
        unit: 'ms',
        sql: SQL.latencyByRole,
        series: quantileNames('gateway', 'mesh'),
      }),
      lines({
        title: 'Own time by direction, p50 and p99',
        description: "The proxies' own time in these hops. Dashed: p50.",
        unit: 'ms',
        sql: SQL.ownByDirection,
        series: quantileNames('north-south', 'east-west'),
      }),
      lines({
        title: 'Own time by role, p50 and p99',
        description: "The proxies' own time: gateway against sidecars of the mesh. Dashed: p50.",
        unit: 'ms',
        sql: SQL.ownByRole,
        series: quantileNames('gateway', 'mesh'),
      }),
      heat({
        title: 'Requests from outside by latency',
        description:
          'How many took how long, without client wait. From the histograms of the rollup.',
        sql: SQL.requestHeat,
      }),
      heat({
        title: 'Hops of gateways by their own time',
        description:
          "The gateways' own time in requests from outside. From the histograms of the rollup.",
        sql: SQL.gatewayOwnHeat,
      }),
    ],
  ],
  ['Who calls whom', [partsTable()]],
];

/** The dashboard as Grafana's classic JSON model. Same object each time: no clock, no randomness. */
export function gatewayVsMesh() {
  const dashboard = dashboardOf(
    'gatewayVsMesh',
    'Load and latency of the gateway and of the mesh, by direction and role.',
  )
    .withVariable(perspective())
    .withVariable(topology())
    .withVariable(route());
  layOut(dashboard, PANELS);
  return dashboard.build();
}
