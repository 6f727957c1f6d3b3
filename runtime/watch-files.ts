/**
 * Tells when the content of a few small files has changed. Watches their folders, because files are
 * replaced by renaming (editors, `mv`) and Kubernetes swaps a symbolic link beside them; and looks
 * by itself now and then, because no event comes from a network folder or a single mounted file.
 *
 *   event or time ► look ► other content ► look again soon ► same twice: it is whole ► changed
 *
 * Compares content, never times. A file that cannot be read is a content of its own.
 */
import { createHash } from 'node:crypto';
import { readFileSync, watch, type FSWatcher } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { messageOf } from './errors.ts';
import type { Log } from './log.ts';

/** Between two looks of which the second must find the same: writers of small files are done. */
const SETTLE_MS = 100;
/** Without events. A kubelet needs a minute to bring a ConfigMap; this adds little. */
const POLL_MS = 5_000;

export interface WatchFilesSettings {
  /** Paths; a function where they may become others, asked at each look. */
  readonly files: readonly string[] | (() => readonly string[]);
  readonly onChange: () => void;
  readonly log: Log;
  readonly settleMs?: number;
  readonly pollMs?: number;
}

export interface FileWatch {
  readonly name: string;
  /** From now on; a change since the watch was made counts. */
  start(): Promise<void>;
  /** Calls `onChange` now, changed or not: somebody asked. */
  now(): Promise<void>;
  stop(): void;
}

/** A watch, not yet started. What the files hold now, when it is made, counts as known. */
export function watchFiles(settings: WatchFilesSettings): FileWatch {
  const { onChange, log, settleMs = SETTLE_MS, pollMs = POLL_MS } = settings;
  const files = (): readonly string[] =>
    typeof settings.files === 'function' ? settings.files() : settings.files;
  const watchers = new Map<string, FSWatcher | undefined>();
  let known = digestOf(files().map(readNow));
  let seen = known;
  let looking = false;
  let settle: NodeJS.Timeout | undefined;
  let poll: NodeJS.Timeout | undefined;
  let stopped = false;

  const look = async (): Promise<void> => {
    // Two at once could both see a file half written, and take that for whole.
    if (looking) {
      lookSoon();
      return;
    }
    looking = true;
    const content = await contentOf(files());
    looking = false;
    if (stopped) return;
    watchFolders();
    const isWhole = content === seen;
    seen = content;
    if (content === known) return;
    if (!isWhole) lookSoon();
    else {
      known = content;
      onChange();
    }
  };
  const lookSoon = (): void => {
    clearTimeout(settle);
    settle = setTimeout(() => void look(), settleMs);
  };

  /** Watches folders that it does not watch yet; those of files that are gone do no harm. */
  const watchFolders = (): void => {
    for (const folder of new Set(files().map((file) => dirname(file)))) {
      if (watchers.has(folder)) continue;
      try {
        const watcher = watch(folder, lookSoon);
        watcher.on('error', (error) => log.warn('folder is not watched any more, only looked at now and then', { folder, error: messageOf(error) })); // prettier-ignore
        watchers.set(folder, watcher);
      } catch (error) {
        watchers.set(folder, undefined);
        log.warn('folder cannot be watched, it is looked at now and then', {
          folder,
          error: messageOf(error),
        });
      }
    }
  };

  return {
    name: 'file-watch',
    async start() {
      watchFolders();
      poll = setInterval(() => void look(), pollMs);
      await look();
    },
    async now() {
      known = seen = await contentOf(files());
      onChange();
    },
    stop() {
      stopped = true;
      clearTimeout(settle);
      clearInterval(poll);
      for (const watcher of watchers.values()) watcher?.close();
    },
  };
}

async function contentOf(files: readonly string[]): Promise<string> {
  return digestOf(await Promise.all(files.map((file) => readFile(file).catch(() => undefined))));
}

function readNow(file: string): Buffer | undefined {
  try {
    return readFileSync(file);
  } catch {
    return undefined;
  }
}

function digestOf(contents: readonly (Buffer | undefined)[]): string {
  const hash = createHash('sha256');
  for (const bytes of contents) {
    hash.update(bytes === undefined ? 'none' : `${bytes.length}:`).update(bytes ?? '');
  }
  return hash.digest('base64');
}
