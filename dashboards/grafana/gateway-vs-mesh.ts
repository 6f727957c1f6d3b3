/**
 * The dashboard `Gateway vs mesh`: load and latency by direction and role, under the perspective
 * that the viewer picks. In Grafana's classic model, which every version from 11 on reads from a
 * file; the newer model is not yet accepted everywhere.
 *
 * Only layout and wording stand here. What a figure means is decided in sql.ts.
 */
import type { Builder } from '@grafana/grafana-foundation-sdk/cog';
import {
  GraphDrawStyle,
  LegendDisplayMode,
  LegendPlacement,
  StackingMode,
  VisibilityMode,
} from '@grafana/grafana-foundation-sdk/common';
import * as common from '@grafana/grafana-foundation-sdk/common';
import {
  CustomVariableBuilder,
  DashboardBuilder,
  DashboardCursorSync,
  QueryVariableBuilder,
  RowBuilder,
  VariableRefresh,
  type Panel,
} from '@grafana/grafana-foundation-sdk/dashboard';
import { PanelBuilder as StatBuilder } from '@grafana/grafana-foundation-sdk/stat';
import { PanelBuilder as TableBuilder } from '@grafana/grafana-foundation-sdk/table';
import { PanelBuilder as TimeseriesBuilder } from '@grafana/grafana-foundation-sdk/timeseries';
import { PERSPECTIVES } from '../../telemetry/edge-class.ts';
import { DATASOURCE, clickhouseQuery } from './clickhouse-query.ts';
import { SQL } from './sql.ts';

const GRID_COLUMNS = 24;
/** One colour a meaning, in every panel. */
const COLORS: Readonly<Record<string, string>> = {
  'north-south': '#3274D9',
  'east-west': '#E0752D',
  unknown: '#8E8E8E',
  gateway: '#3274D9',
  mesh: '#E0752D',
  requests: '#3274D9',
};

interface StatText {
  readonly title: string;
  readonly description: string;
  readonly unit: string;
  readonly sql: string;
}

function stat({ title, description, unit, sql }: StatText): StatBuilder {
  return new StatBuilder()
    .title(title)
    .description(description)
    .datasource(DATASOURCE)
    .unit(unit)
    .noValue('no data')
    .graphMode(common.BigValueGraphMode.None)
    .reduceOptions(new common.ReduceDataOptionsBuilder().calcs(['lastNotNull']).fields('/.*/'))
    .height(4)
    .span(GRID_COLUMNS / 6)
    .withTarget(clickhouseQuery('A', 'table', sql));
}

interface LinesText extends StatText {
  readonly series: readonly string[];
  readonly stacked?: boolean;
}

function lines(text: LinesText): TimeseriesBuilder {
  const panel = new TimeseriesBuilder()
    .title(text.title)
    .description(text.description)
    .datasource(DATASOURCE)
    .unit(text.unit)
    .min(0)
    // Rollups have one row a minute: a shorter step would show holes.
    .interval('1m')
    .drawStyle(GraphDrawStyle.Line)
    .lineWidth(2)
    .fillOpacity(text.stacked === true ? 30 : 5)
    .showPoints(VisibilityMode.Never)
    .legend(
      new common.VizLegendOptionsBuilder()
        .displayMode(LegendDisplayMode.List)
        .placement(LegendPlacement.Bottom)
        .showLegend(true),
    )
    .height(8)
    .span(GRID_COLUMNS / 2)
    .withTarget(clickhouseQuery('A', 'timeseries', text.sql));
  if (text.stacked === true) {
    panel.stacking(new common.StackingConfigBuilder().mode(StackingMode.Normal).group('A'));
  }
  for (const name of text.series) {
    panel.overrideByName(name, [
      { id: 'color', value: { mode: 'fixed', fixedColor: colorOf(name) } },
      // p50 and p99 of one series share its colour; the dashed line is the median.
      ...(name.startsWith('p50 ')
        ? [{ id: 'custom.lineStyle', value: { fill: 'dash', dash: [6, 6] } }]
        : []),
    ]);
  }
  return panel;
}

function colorOf(series: string): string {
  return COLORS[series.replace(/^p\d+ /, '')] ?? '#8E8E8E';
}

const quantileNames = (...series: readonly string[]): string[] =>
  series.flatMap((name) => [`p50 ${name}`, `p99 ${name}`]);

function partsTable(): TableBuilder {
  const percent = [
    { id: 'unit', value: 'percentunit' },
    { id: 'decimals', value: 1 },
  ];
  const panel = new TableBuilder()
    .title('Gateway, gateway → mesh, mesh ↔ mesh')
    .description(
      'All legs of the window by what they connect; each leg stands in one row. `own sidecar` are the legs ' +
        'between a workload and its own sidecar: they are counted, but have no direction and no share. ' +
        'Latency is without client wait, in milliseconds.',
    )
    .datasource(DATASOURCE)
    .height(9)
    .span(GRID_COLUMNS)
    .withTarget(clickhouseQuery('A', 'table', SQL.parts));
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

const PANELS: readonly (readonly [row: string, panels: readonly Builder<Panel>[]])[] = [
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
    ],
  ],
  ['Who calls whom', [partsTable()]],
];

/** The dashboard as Grafana's classic JSON model. Same object each time: no clock, no randomness. */
export function gatewayVsMesh() {
  // The classic model on purpose, see the head of this file.
  // eslint-disable-next-line @typescript-eslint/no-deprecated
  const dashboard = new DashboardBuilder('Gateway vs mesh')
    .uid('azimuth-gateway-vs-mesh')
    .description('Load and latency of the gateway and of the mesh, by direction and role.')
    .tags(['azimuth', 'generated'])
    .time({ from: 'now-30m', to: 'now' })
    .refresh('30s')
    .timezone('browser')
    .readonly()
    .tooltip(DashboardCursorSync.Crosshair)
    .withVariable(
      new CustomVariableBuilder('perspective')
        .label('Perspective')
        .description('Is the gateway one box (whole), or an outer and an inner half (split)?')
        .values(PERSPECTIVES.join(','))
        .options(PERSPECTIVES.map((p, index) => ({ selected: index === 0, text: p, value: p })))
        .current({ selected: true, text: PERSPECTIVES[0], value: PERSPECTIVES[0] })
        .allowCustomValue(false),
    )
    .withVariable(
      new QueryVariableBuilder('topology')
        .label('Topology')
        .datasource(DATASOURCE)
        .query({ refId: 'topology', editorType: 'sql', rawSql: SQL.topologies })
        .definition(SQL.topologies)
        .refresh(VariableRefresh.OnTimeRangeChanged)
        .includeAll(true)
        .multi(true)
        .current({ selected: true, text: ['All'], value: ['$__all'] })
        .allowCustomValue(false),
    );
  let id = 1;
  for (const [row, panels] of PANELS) {
    dashboard.withRow(new RowBuilder(row).id(id++));
    for (const panel of panels)
      dashboard.withPanel({ build: () => ({ ...panel.build(), id: id++ }) });
  }
  return dashboard.build();
}
