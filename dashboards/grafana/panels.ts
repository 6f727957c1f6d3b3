/**
 * The panels that our dashboards are made of, all alike: the data source, the format of a query, one
 * colour a meaning. Layout and wording of a dashboard stand in its own file, figures in its SQL.
 */
import {
  GraphDrawStyle,
  LegendDisplayMode,
  LegendPlacement,
  StackingMode,
  VisibilityMode,
} from '@grafana/grafana-foundation-sdk/common';
import * as common from '@grafana/grafana-foundation-sdk/common';
import type { Builder } from '@grafana/grafana-foundation-sdk/cog';
import {
  RowBuilder,
  type DashboardBuilder,
  type DynamicConfigValue,
  type Panel,
} from '@grafana/grafana-foundation-sdk/dashboard';
import {
  HeatmapColorMode,
  HeatmapColorOptionsBuilder,
  HeatmapColorScale,
  PanelBuilder as HeatmapBuilder,
  RowsHeatmapOptionsBuilder,
  YAxisConfigBuilder,
} from '@grafana/grafana-foundation-sdk/heatmap';
import { PanelBuilder as StatBuilder } from '@grafana/grafana-foundation-sdk/stat';
import { PanelBuilder as TableBuilder } from '@grafana/grafana-foundation-sdk/table';
import { PanelBuilder as TimeseriesBuilder } from '@grafana/grafana-foundation-sdk/timeseries';
import { DATASOURCE, clickhouseQuery } from './clickhouse-query.ts';

/** Grafana's grid. */
export const GRID_COLUMNS = 24;
/** One colour a meaning, in every panel of every dashboard. */
const COLORS: Readonly<Record<string, string>> = {
  'north-south': '#3274D9',
  'east-west': '#E0752D',
  unknown: '#8E8E8E',
  gateway: '#3274D9',
  mesh: '#E0752D',
  requests: '#3274D9',
  stored: '#3274D9',
  doubled: '#8E8E8E',
  queued: '#3274D9',
  spooled: '#E0752D',
  dropped: '#C4162A',
  'dead letters': '#E0752D',
  'until stored': '#3274D9',
  wire: '#8F3BB8',
  application: '#37872D',
  upstream: '#56A64B',
  backoff: '#C4162A',
  'parallel surplus': '#B7DBAB',
  residual: '#111217',
  missing_root: '#C4162A',
  missing_parent: '#E02F44',
  missing_child: '#E0752D',
  ambiguous_parent: '#8F3BB8',
  several_roots: '#3274D9',
  clock_domains: '#5794F2',
  too_large: '#37872D',
  closed_early: '#8E8E8E',
  does_not_add_up: '#111217',
};

export interface StatText {
  readonly title: string;
  readonly description: string;
  readonly unit: string;
  readonly sql: string;
}

/** One number of the window. */
export function stat({ title, description, unit, sql }: StatText): StatBuilder {
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

export interface LinesText extends StatText {
  readonly series: readonly string[];
  readonly stacked?: boolean;
}

/** Series over time. */
export function lines(text: LinesText): TimeseriesBuilder {
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
    .legend(bottomLegend())
    .height(8)
    .span(GRID_COLUMNS / 2)
    .withTarget(clickhouseQuery('A', 'timeseries', text.sql));
  if (text.stacked === true) {
    panel.stacking(new common.StackingConfigBuilder().mode(StackingMode.Normal).group('A'));
  }
  for (const { name, properties } of colorOverrides(text.series)) {
    panel.overrideByName(name, properties);
  }
  return panel;
}

export const bottomLegend = (): common.VizLegendOptionsBuilder =>
  new common.VizLegendOptionsBuilder()
    .displayMode(LegendDisplayMode.List)
    .placement(LegendPlacement.Bottom)
    .showLegend(true);

/** What makes each series of its colour. */
export const colorOverrides = (
  series: readonly string[],
): { name: string; properties: DynamicConfigValue[] }[] =>
  series.map((name) => ({
    name,
    properties: [
      { id: 'color', value: { mode: 'fixed', fixedColor: colorOf(name) } },
      // p50 and p99 of one series share its colour; the dashed line is the median.
      ...(name.startsWith('p50 ')
        ? [{ id: 'custom.lineStyle', value: { fill: 'dash', dash: [6, 6] } }]
        : []),
    ],
  }));

function colorOf(series: string): string {
  return COLORS[series.replace(/^p\d+ /, '')] ?? '#8E8E8E';
}

/**
 * Hops by how long they took, over time. The columns come ready, one a band, from a rollup's
 * histograms: nothing is counted from raw rows, in the store or in the browser.
 */
export function heat({ title, description, sql }: Omit<StatText, 'unit'>): HeatmapBuilder {
  return (
    new HeatmapBuilder()
      .title(title)
      .description(description)
      .datasource(DATASOURCE)
      .interval('1m')
      .calculate(false)
      // Columns are named by their upper bounds.
      .rowsFrame(new RowsHeatmapOptionsBuilder().layout(common.HeatmapCellLayout.Le).value('hops'))
      .color(
        new HeatmapColorOptionsBuilder()
          .mode(HeatmapColorMode.Scheme)
          .scheme('Viridis')
          .scale(HeatmapColorScale.Exponential)
          .exponent(0.5)
          .steps(64)
          .fill('dark-blue')
          .reverse(false),
      )
      .cellGap(0)
      .yAxis(new YAxisConfigBuilder().unit('ms').axisPlacement(common.AxisPlacement.Left))
      .showLegend()
      .height(9)
      .span(GRID_COLUMNS / 2)
      .withTarget(clickhouseQuery('A', 'timeseries', sql))
  );
}

/** Rows of a query as they are. */
export function table(text: {
  readonly title: string;
  readonly description: string;
  readonly sql: string;
  /** Rows of the grid. Default 9. */
  readonly height?: number;
  /** Columns of the grid. Default: all. */
  readonly span?: number;
}): TableBuilder {
  return new TableBuilder()
    .title(text.title)
    .description(text.description)
    .datasource(DATASOURCE)
    .height(text.height ?? 9)
    .span(text.span ?? GRID_COLUMNS)
    .withTarget(clickhouseQuery('A', 'table', text.sql));
}

/** Rows with their panels, in the order of the dashboard. */
export type Rows = readonly (readonly [row: string, panels: readonly Builder<Panel>[]])[];

/** Puts rows and panels into a dashboard, each with an id of its own. */
// The classic model on purpose: every version of Grafana from 11 on reads it from a file.
// eslint-disable-next-line @typescript-eslint/no-deprecated
export function layOut(dashboard: DashboardBuilder, rows: Rows): void {
  let id = 1;
  for (const [row, panels] of rows) {
    dashboard.withRow(new RowBuilder(row).id(id++));
    for (const panel of panels)
      dashboard.withPanel({ build: () => ({ ...panel.build(), id: id++ }) });
  }
}
