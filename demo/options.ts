/** The demo's command line. */
import { isatty } from 'node:tty';
import { parseArgs } from 'node:util';
import { TOPOLOGIES } from '../mesh/config.ts';
import { AzimuthError, messageOf } from '../runtime/errors.ts';
import type { Topology } from './shop-mesh.ts';

export interface DemoOptions {
  /** Length of the load, seconds. */
  readonly seconds: number;
  /** Requests per second. */
  readonly ratePerS: number;
  readonly seed: number;
  /** One JSON object on stdout, everything else on stderr. */
  readonly json: boolean;
  /** Stay up after the report, with gentle traffic, until Ctrl-C. */
  readonly keep: boolean;
  readonly topology: Topology;
  readonly transport: 'otlp' | 'kafka';
  /** Undefined: a broker is started when the transport is kafka. */
  readonly brokers: readonly string[] | undefined;
  /** Folder of mesh file, logs and data. */
  readonly folder: string;
  /** Folder of the store's data, kept from run to run; undefined: in `folder`, emptied first. */
  readonly data: string | undefined;
  readonly freePorts: boolean;
  /** Seconds into the load at which the collector is killed (-9), and started again 2 s later. */
  readonly killCollectorAtS: number | undefined;
}

export const DEFAULT_FOLDER = '.azimuth/demo';

export const HELP = `
Usage: npm run demo [-- OPTIONS]

Starts a whole mesh on this machine: an embedded ClickHouse, the collector, analytics, a gateway and
a shop of six services with a sidecar each. Sends real requests through it and prints the
gateway-versus-mesh report. On a terminal it then stays up with gentle traffic until Ctrl-C.

  --seconds N       length of the load (default 30); given, the demo ends after the report
  --rate N          requests per second (default 50)
  --seed N          another shop: latencies, faults and order of requests follow from it (default 1)
  --keep            stay up after the report, also with --seconds or in a pipe
  --json            one line of JSON on stdout, last; everything else goes to stderr
  --topology T      separate (default), attached, shared or merged: docs/TOPOLOGIES.md
  --transport T     otlp (default) or kafka: how the hop records reach the collector
  --brokers LIST    Kafka to use, host:port,…; without it one is started (needs Java)
  --data DIR        keep the store's data in DIR from run to run (default: emptied at each start)
  --dir DIR         folder of mesh file, logs and data (default ${DEFAULT_FOLDER})
  --free-ports      take free ports everywhere, not only where a usual one is taken

Faults to try:
  --kill-collector-at S   kill -9 the collector S seconds into the load, start it 2 s later;
                          no request fails and every hop is still accounted for

Examples:
  npm run demo
  npm run demo -- --seconds 10 --rate 200 --json
  npm run demo -- --transport kafka --kill-collector-at 5
`;

/** Undefined: help was asked for. Throws AZ_USAGE. */
export function parseOptions(args: readonly string[]): DemoOptions | undefined {
  const values = parse(args);
  if (values.help) return undefined;
  const seconds = positive('seconds', values.seconds) ?? 30;
  const topology = TOPOLOGIES.find((known) => known === values.topology);
  if (topology === undefined) {
    throw new AzimuthError(
      'AZ_USAGE',
      `--topology is one of ${TOPOLOGIES.join(', ')}, not "${values.topology}"`,
    );
  }
  const transport = values.transport;
  if (transport !== 'otlp' && transport !== 'kafka') {
    throw new AzimuthError('AZ_USAGE', `--transport is otlp or kafka, not "${transport}"`);
  }
  const brokers = values.brokers?.split(',').filter((broker) => broker !== '');
  if (brokers !== undefined && transport !== 'kafka') {
    throw new AzimuthError('AZ_USAGE', '--brokers needs --transport kafka');
  }
  if (brokers !== undefined && !brokers.every((broker) => /^[^\s/]+:[0-9]+$/.test(broker))) {
    throw new AzimuthError('AZ_USAGE', '--brokers is a list such as 127.0.0.1:9092,other:9092');
  }
  const killCollectorAtS = positive('kill-collector-at', values['kill-collector-at']);
  if (killCollectorAtS !== undefined && killCollectorAtS >= seconds) {
    throw new AzimuthError('AZ_USAGE', `--kill-collector-at must be below --seconds (${seconds})`);
  }
  const onTerminal = !values.json && values.seconds === undefined && isatty(1);
  return {
    seconds,
    ratePerS: positive('rate', values.rate) ?? 50,
    seed: positive('seed', values.seed) ?? 1,
    json: values.json,
    keep: values.keep || onTerminal,
    topology,
    transport,
    brokers,
    folder: values.dir,
    data: values.data,
    freePorts: values['free-ports'],
    killCollectorAtS,
  };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        seconds: { type: 'string' },
        rate: { type: 'string' },
        seed: { type: 'string' },
        keep: { type: 'boolean', default: false },
        json: { type: 'boolean', default: false },
        topology: { type: 'string', default: 'separate' },
        transport: { type: 'string', default: 'otlp' },
        brokers: { type: 'string' },
        data: { type: 'string' },
        dir: { type: 'string', default: DEFAULT_FOLDER },
        'free-ports': { type: 'boolean', default: false },
        'kill-collector-at': { type: 'string' },
        help: { type: 'boolean', short: 'h', default: false },
      },
    }).values;
  } catch (error) {
    throw new AzimuthError('AZ_USAGE', `${messageOf(error)}. See npm run demo -- --help`, {
      cause: error,
    });
  }
}

function positive(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (Number.isFinite(value) && value > 0) return value;
  throw new AzimuthError('AZ_USAGE', `--${name} takes a number above 0, not "${text}"`);
}
