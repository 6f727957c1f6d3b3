/** Prometheus' text format as tests read it: values by series. */

/** Values of an exposition by series, spelled as there: `name{label="value"}`. */
export function seriesOf(text: string): Map<string, number> {
  return new Map(
    text
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'))
      .map((line) => {
        const at = line.lastIndexOf(' ');
        const word = line.slice(at + 1);
        return [line.slice(0, at), word === '+Inf' ? Infinity : Number(word)];
      }),
  );
}

/** Sum over the series of a metric whose labels hold all of `labels`. */
export function sumOf(
  series: ReadonlyMap<string, number>,
  name: string,
  labels: Readonly<Record<string, string>> = {},
): number {
  const wanted = Object.entries(labels).map(([label, value]) => `${label}="${value}"`);
  let sum = 0;
  for (const [key, value] of series) {
    if (key !== name && !key.startsWith(`${name}{`)) continue;
    // No value that a test gives holds a comma or a quote.
    const pairs = key.slice(name.length + 1, -1).split(',');
    if (wanted.every((pair) => pairs.includes(pair))) sum += value;
  }
  return sum;
}
