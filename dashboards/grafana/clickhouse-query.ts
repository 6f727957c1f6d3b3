/**
 * A query of Grafana's ClickHouse plugin, for which the foundation SDK has no type. One target of
 * a panel is one of these; the plugin expands its macros and Grafana its variables before the SQL
 * reaches the store.
 */
import type { Builder, Dataquery } from '@grafana/grafana-foundation-sdk/cog';

/** The data source as provisioned in provisioning/datasources/clickhouse.yaml. */
export const DATASOURCE = {
  type: 'grafana-clickhouse-datasource',
  uid: 'azimuth-clickhouse',
} as const;

/** Version of the plugin that deploy/grafana/Dockerfile installs. */
const PLUGIN_VERSION = '4.20.0';

/** What the plugin makes of the rows. The numbers are its own. */
const FORMATS = { timeseries: 0, table: 1, traces: 3 } as const;
export type QueryFormat = keyof typeof FORMATS;

/**
 * Builds one target. `refId` must be unique in its panel. Time series need a column `time` first,
 * ordered, and numbers behind it; each column is one series under its own name.
 */
export function clickhouseQuery(
  refId: string,
  queryFormat: QueryFormat,
  rawSql: string,
): Builder<Dataquery> {
  const target = {
    refId,
    datasource: DATASOURCE,
    editorType: 'sql',
    queryType: queryFormat,
    format: FORMATS[queryFormat],
    pluginVersion: PLUGIN_VERSION,
    rawSql,
    // The SDK marks what may stand as a target by this method; JSON leaves it out.
    _implementsDataqueryVariant: () => undefined,
  };
  return { build: () => target };
}
