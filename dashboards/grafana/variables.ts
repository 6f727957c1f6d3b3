/**
 * The variables of the dashboards: the same name, label and meaning in all of them, so that a link
 * from one to another carries what the viewer picked.
 */
import {
  CustomVariableBuilder,
  QueryVariableBuilder,
  TextBoxVariableBuilder,
  VariableRefresh,
} from '@grafana/grafana-foundation-sdk/dashboard';
import { PERSPECTIVES } from '../../telemetry/edge-class.ts';
import { DATASOURCE } from './clickhouse-query.ts';
import { ROUTES, TOPOLOGIES } from './traffic-sql.ts';

const ALL = { selected: true, text: ['All'], value: ['$__all'] };

export const perspective = (): CustomVariableBuilder =>
  new CustomVariableBuilder('perspective')
    .label('Perspective')
    .description('Is the gateway one box (whole), or an outer and an inner half (split)?')
    .values(PERSPECTIVES.join(','))
    .options(PERSPECTIVES.map((p, index) => ({ selected: index === 0, text: p, value: p })))
    .current({ selected: true, text: PERSPECTIVES[0], value: PERSPECTIVES[0] })
    .allowCustomValue(false);

/** Directions that a leg between two parties can have. */
export const DIRECTIONS = ['north_south', 'east_west', 'unknown'] as const;

export const direction = (): CustomVariableBuilder =>
  new CustomVariableBuilder('direction')
    .label('Direction')
    .description('Of legs, under the perspective.')
    .values(DIRECTIONS.join(','))
    .options(DIRECTIONS.map((d) => ({ selected: false, text: d, value: d })))
    .includeAll(true)
    .multi(true)
    .current(ALL)
    .allowCustomValue(false);

function names(
  name: string,
  label: string,
  description: string,
  sql: string,
): QueryVariableBuilder {
  return new QueryVariableBuilder(name)
    .label(label)
    .description(description)
    .datasource(DATASOURCE)
    .query({ refId: name, editorType: 'sql', rawSql: sql })
    .definition(sql)
    .refresh(VariableRefresh.OnTimeRangeChanged)
    .includeAll(true)
    .multi(true)
    .current(ALL)
    .allowCustomValue(false);
}

export const topology = (): QueryVariableBuilder =>
  names('topology', 'Topology', 'Of the mesh file.', TOPOLOGIES);

export const route = (): QueryVariableBuilder =>
  names('route', 'Route', 'Template of the route, never a path.', ROUTES);

/** A trace id; set by the links of tables. */
export const trace = (): TextBoxVariableBuilder =>
  new TextBoxVariableBuilder('trace')
    .label('Trace')
    .description('Trace id, 32 hex digits; a click in a table sets it.')
    .defaultValue('');

/** Where `azimuth analytics` is reached by whoever looks at the dashboard. */
export const livePage = (): TextBoxVariableBuilder =>
  new TextBoxVariableBuilder('live_page')
    .label('Live page')
    .description('Address of azimuth analytics, for links to it.')
    .defaultValue('http://127.0.0.1:8088');
