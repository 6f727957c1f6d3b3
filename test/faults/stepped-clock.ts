/**
 * Preloaded into one process: its wall clock is off by what the file $CLOCK_STEP_FILE says, in
 * milliseconds, looked at ten times a second. Monotonic time is as it was, as on a machine whose
 * clock is set.
 */
import { readFileSync } from 'node:fs';

const wallMs = Date.now;
let stepMs = 0;
Date.now = () => wallMs() + stepMs;
setInterval(() => {
  stepMs = Number(readFileSync(process.env['CLOCK_STEP_FILE']!, 'utf8'));
}, 100).unref();
