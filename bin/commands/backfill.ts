/**
 * `azimuth backfill`: publishes minutes of the past that are not, or that lack rows. The same jobs as
 * `azimuth analytics`, with a bar; both may run at once.
 */
import { parseArgs } from 'node:util';
import { backfill, BACKFILL_STEPS, type BackfillStep } from '../../analytics/jobs/backfill.ts';
import { shareDone, type JobProgress } from '../../analytics/jobs/progress.ts';
import { parseWindow } from '../../analytics/window.ts';
import { storePart } from '../../mesh/parts.ts';
import { AzimuthError } from '../../runtime/errors.ts';
import { createLog } from '../../runtime/log.ts';
import { createStoreClient } from '../../store/client.ts';
import type { Command } from '../command.ts';
import { meshFromArgs } from '../mesh-option.ts';

const BAR_WIDTH = 30;

/** A statement over a long stretch may work for minutes before its first byte. */
const STATEMENT_TIMEOUT_MS = 600_000;

export const command: Command = {
  help: `
Usage: azimuth backfill [--last 1d | --from T --to T] [--again] [--only STEP] [--mesh FILE]

Publishes the traffic and the attributed requests of the past: minutes of the window that are not
published or got rows since, and, where the window reaches past the newest published minute, all
from there up to now. Broken off, it goes on where it was; what is published stays as it is. May run
beside "azimuth analytics".

  --last 1d         the window that ends now: 1h, 7d, 30d (default 1d)
  --from T --to T   the same by ISO 8601 instants, UTC where no zone stands
  --again           build minutes that have all of their rows anew, too
  --only STEP       rollup (traffic), or attribution (requests split)
  --json            end with one JSON object on one line
  --mesh FILE       which mesh file names the store

Examples:
  azimuth backfill --last 30d
  azimuth backfill --from 2026-01-31 --to 2026-02-01 --again
`,
  async run(args) {
    const { values } = parseArgs({
      args: [...args],
      options: {
        last: { type: 'string' },
        from: { type: 'string' },
        to: { type: 'string' },
        again: { type: 'boolean', default: false },
        only: { type: 'string' },
        json: { type: 'boolean', default: false },
        mesh: { type: 'string' },
      },
    });
    const nowMs = (): number => Date.now();
    const only = BACKFILL_STEPS.find((step) => step === values.only);
    if (only === undefined && values.only !== undefined) {
      throw new AzimuthError('AZ_USAGE', `--only is one of: ${BACKFILL_STEPS.join(', ')}`);
    }
    const window = parseWindow(values, nowMs(), '1d');
    const part = storePart(meshFromArgs(values));
    const store = createStoreClient({ ...part, requestTimeoutMs: STATEMENT_TIMEOUT_MS });
    const bar = new Bar();
    try {
      const outcome = await backfill({
        store,
        log: createLog({ fields: { process: 'backfill' } }),
        retentionDays: part.retention_days,
        nowMs,
        window,
        again: values.again,
        only,
        onProgress: (step, progress) => bar.show(step, progress),
      });
      bar.end();
      process.stdout.write(
        values.json
          ? JSON.stringify(outcome) + '\n'
          : `backfill: ${outcome.rollup} minutes of traffic, ${outcome.attribution} minutes with ` +
              `${outcome.traces} requests split\n`,
      );
      return 0;
    } finally {
      bar.end();
      await store.close();
    }
  },
};

/** One line of stderr that is written over; elsewhere than in a terminal, a line each tenth. */
class Bar {
  #tenth = -1;
  #step: BackfillStep | undefined;
  #open = false;

  show(step: BackfillStep, progress: JobProgress): void {
    const share = shareDone(progress);
    if (step !== this.#step) {
      this.end();
      this.#step = step;
      this.#tenth = -1;
    }
    const until = new Date(progress.untilMs).toISOString().slice(0, 16) + 'Z';
    const done = Math.round(share * BAR_WIDTH);
    const text =
      `${step.padEnd(11)} ${'█'.repeat(done)}${'░'.repeat(BAR_WIDTH - done)} ` +
      `${String(Math.floor(share * 100)).padStart(3)} %, up to ${until}`;
    if (process.stderr.isTTY) {
      process.stderr.write(`\r${text}`);
      this.#open = true;
    } else if (Math.floor(share * 10) > this.#tenth) {
      this.#tenth = Math.floor(share * 10);
      process.stderr.write(`${text}\n`);
    }
  }

  end(): void {
    if (this.#open) process.stderr.write('\n');
    this.#open = false;
  }
}
