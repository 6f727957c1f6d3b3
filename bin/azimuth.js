#!/usr/bin/env node
// Entry of the `azimuth` command. Plain JavaScript, so that any Node can read it: it starts the
// packed build (dist/) where there is one, else the TypeScript sources, which need Node 22.18 or
// newer. On an older Node it runs itself again with the Node that `npm ci` put in node_modules.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
// By default import: an older Node, which only has to get as far as the newer one, lacks some names.
import module from 'node:module';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { setFlagsFromString } from 'node:v8';

const packed = new URL('../dist/bin/main.js', import.meta.url);
const source = new URL('./main.ts', import.meta.url);
const localNode = fileURLToPath(new URL('../node_modules/node/bin/node', import.meta.url));
const [major, minor] = process.versions.node.split('.').map(Number);
const newEnough = major > 22 || (major === 22 && minor >= 18);

if (newEnough) {
  keepCompiledCode(process.env);
  startSmall(process.argv[2]);
  await import(existsSync(source) ? source.href : packed.href);
} else if (existsSync(localNode)) {
  const child = spawn(localNode, [fileURLToPath(import.meta.url), ...process.argv.slice(2)], {
    stdio: 'inherit',
  });
  // A terminal sends Ctrl-C to the whole group; signals sent to us alone are handed on.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGUSR2']) {
    process.on(signal, () => signal !== 'SIGINT' && child.kill(signal));
  }
  child.on('exit', (code, signal) => process.exit(signal ? 1 : (code ?? 1)));
} else {
  console.error(
    `azimuth needs Node 22.18 or newer, this is ${process.versions.node}. ` +
      'In a clone, run `npm ci`: it brings one along.',
  );
  process.exit(78);
}

/**
 * Keeps compiled code between starts, for this process and those that it starts: one that is
 * replaced after a crash is back sooner, and smaller, for it need not read and compile its sources
 * again. In a folder of the user's own, never the machine's common one: whoever can write there can
 * run code here. Without a folder all works as before. Off while coverage is measured, which it blurs.
 */
function keepCompiledCode(env) {
  if (env.NODE_V8_COVERAGE || env.NODE_DISABLE_COMPILE_CACHE) return;
  try {
    const cache = env.XDG_CACHE_HOME || join(homedir(), '.cache');
    env.NODE_COMPILE_CACHE ||= join(cache, 'azimuth', 'compiled');
    module.enableCompileCache(env.NODE_COMPILE_CACHE);
    // Node writes at an orderly end only; by now a process has loaded what it needs.
    setTimeout(() => module.flushCompileCache(), 3_000).unref();
  } catch {
    // A user without a home, as in a container.
  }
}

/**
 * A proxy begins with a small young generation: while its sources are loaded V8 would let that grow to
 * 32 MiB, which nothing shrinks again but a long rest (runtime/young-generation.ts).
 */
function startSmall(command) {
  if (command !== 'gateway' && command !== 'sidecar') return;
  setFlagsFromString('--semi-space-growth-factor=1');
}
