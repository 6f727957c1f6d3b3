/**
 * Log lines of every process, on stderr so that stdout stays for results. On a terminal a line is
 * for people; elsewhere it is one JSON object. Never on the request path: the hop record is that
 * path's log.
 */
export type LogLevel = 'debug' | 'info' | 'warn' | 'error';
export type LogFields = Readonly<Record<string, string | number | boolean | undefined>>;

export interface Log {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** A log whose lines carry these fields too. */
  with(fields: LogFields): Log;
}

const ORDER: Record<LogLevel, number> = { debug: 0, info: 1, warn: 2, error: 3 };

export interface LogSettings {
  readonly level?: LogLevel;
  /** JSON lines when true; default: true unless stderr is a terminal. */
  readonly json?: boolean;
  readonly write?: (line: string) => void;
  readonly fields?: LogFields;
}

export function createLog(settings: LogSettings = {}): Log {
  const least = ORDER[settings.level ?? 'info'];
  const json = settings.json ?? !process.stderr.isTTY;
  const write = settings.write ?? ((line: string) => void process.stderr.write(line));
  const base = settings.fields ?? {};
  const line = (level: LogLevel, message: string, fields: LogFields = {}): void => {
    if (ORDER[level] < least) return;
    const all = { ...base, ...fields };
    if (json) {
      write(JSON.stringify({ time: new Date().toISOString(), level, message, ...all }) + '\n');
      return;
    }
    const rest = Object.entries(all)
      .filter(([, v]) => v !== undefined)
      .map(([k, v]) => `${k}=${String(v)}`)
      .join(' ');
    write(`${level.padEnd(5)} ${message}${rest === '' ? '' : '  ' + rest}\n`);
  };
  return {
    debug: (m, f) => line('debug', m, f),
    info: (m, f) => line('info', m, f),
    warn: (m, f) => line('warn', m, f),
    error: (m, f) => line('error', m, f),
    with: (fields) => createLog({ ...settings, fields: { ...base, ...fields } }),
  };
}

/** Swallows every line: for tests that look elsewhere. */
export const silentLog: Log = createLog({ write: () => undefined });
