/**
 * Prometheus' text format 0.0.4 for `/metrics` of every process. Metrics are named as OpenTelemetry's
 * semantic conventions name them (dots, unit apart); here they become what a Prometheus server makes
 * of such a name: dots to underscores, the unit and `_total` appended. Holds no state: whoever has the
 * numbers writes them when asked, so that counting costs the data path no more than an addition.
 */
export type MetricLabels = Readonly<Record<string, string | number>>;

/** One series of a counter or gauge. */
export interface MetricSample {
  readonly labels?: MetricLabels;
  readonly value: number;
}

/** One series of a histogram. */
export interface HistogramSample {
  readonly labels?: MetricLabels;
  /** Observations in each bucket, not cumulative; one more than `bounds`, the last is +Inf. */
  readonly counts: ArrayLike<number>;
  /** Sum of all observed values, in the metric's unit. */
  readonly sum: number;
}

/** UCUM units as they are spelled in names; what is not listed (`{hop}`, `1`) adds nothing. */
const UNIT_SUFFIX: Readonly<Record<string, string>> = { s: '_seconds', By: '_bytes' };

/** Content type of the text. */
export const METRICS_CONTENT_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

/** Writes one exposition. Each metric is written once, with all of its series. */
export class MetricsText {
  #out = '';

  /** A sum that only grows while the process lives. */
  counter(name: string, unit: string, help: string, samples: number | MetricSample[]): this {
    return this.#plain(nameOf(name, unit) + '_total', 'counter', help, samples);
  }

  /** A value that goes up and down. */
  gauge(name: string, unit: string, help: string, samples: number | MetricSample[]): this {
    return this.#plain(nameOf(name, unit), 'gauge', help, samples);
  }

  /** A distribution; `bounds` are the upper bounds of all buckets but the last, ascending. */
  histogram(
    name: string,
    unit: string,
    help: string,
    bounds: readonly number[],
    samples: readonly HistogramSample[],
  ): this {
    const full = nameOf(name, unit);
    this.#head(full, 'histogram', help);
    for (const { labels, counts, sum } of samples) {
      let count = 0;
      for (let i = 0; i <= bounds.length; i++) {
        count += counts[i] ?? 0;
        const le = i < bounds.length ? String(bounds[i]) : '+Inf';
        this.#line(full + '_bucket', { ...labels, le }, count);
      }
      this.#line(full + '_sum', labels, sum);
      this.#line(full + '_count', labels, count);
    }
    return this;
  }

  toString(): string {
    return this.#out;
  }

  #plain(full: string, type: string, help: string, samples: number | MetricSample[]): this {
    this.#head(full, type, help);
    if (typeof samples === 'number') this.#line(full, undefined, samples);
    else for (const { labels, value } of samples) this.#line(full, labels, value);
    return this;
  }

  #head(full: string, type: string, help: string): void {
    const escaped = help.replaceAll('\\', '\\\\').replaceAll('\n', '\\n');
    this.#out += `# HELP ${full} ${escaped}\n# TYPE ${full} ${type}\n`;
  }

  #line(full: string, labels: MetricLabels | undefined, value: number): void {
    const pairs = Object.entries(labels ?? {}).map(
      ([key, of]) => `${key.replaceAll('.', '_')}="${labelValue(String(of))}"`,
    );
    this.#out += `${full}${pairs.length === 0 ? '' : `{${pairs.join(',')}}`} ${spell(value)}\n`;
  }
}

function nameOf(name: string, unit: string): string {
  return name.replaceAll('.', '_') + (UNIT_SUFFIX[unit] ?? '');
}

function labelValue(value: string): string {
  // A lone surrogate would make the whole exposition unreadable.
  return value
    .toWellFormed()
    .replaceAll('\\', '\\\\')
    .replaceAll('"', '\\"')
    .replaceAll('\n', '\\n');
}

function spell(value: number): string {
  if (Number.isNaN(value)) return 'NaN';
  if (value === Infinity) return '+Inf';
  return value === -Infinity ? '-Inf' : String(value);
}
