/** What becomes of workers and of connections, with processes of a worker that does nothing else. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer, type AddressInfo, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ProxyPart } from '../../../mesh/part.ts';
import { counterFileName } from '../../../proxy/counter-file.ts';
import { Supervisor } from '../../../proxy/workers/supervisor.ts';
import { AzimuthError } from '../../../runtime/errors.ts';
import { createLog } from '../../../runtime/log.ts';
import { ProxyLab } from '../../helpers/proxy-lab.ts';
import { until } from '../../helpers/until.ts';

const WORKER = fileURLToPath(new URL('../../helpers/fake-worker.ts', import.meta.url));

interface Line {
  readonly message: string;
  readonly wait_ms?: number;
  readonly boot_id?: string;
}

describe('Supervisor', function () {
  this.timeout(60_000);
  let supervisor: Supervisor;
  let server: Server;
  let accepted: number;
  let lines: Line[];

  const partOf = (name: string, workers: number): ProxyPart => ({
    ...new ProxyLab({ endpoints: [] }).part,
    name,
    workers,
  });
  const supervise = (name: string, workers: number, stateFolder?: string): Supervisor => {
    lines = [];
    const log = createLog({ json: true, write: (line) => lines.push(JSON.parse(line) as Line) });
    supervisor = new Supervisor({ script: WORKER, part: partOf(name, workers), stateFolder, log });
    return supervisor;
  };
  const deaths = (): Line[] => lines.filter(({ message }) => message.startsWith('worker died'));
  const bootIds = async (): Promise<string[]> =>
    (await supervisor.members.ask('none', undefined, 0)).map((member) => member.boot_id);
  const pids = async (): Promise<number[]> =>
    (await supervisor.members.ask('none', undefined, 0)).map((member) => member.pid);

  /** Opens a connection; resolves with what came over it when it is closed. */
  const client = async (): Promise<string> => {
    const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
    let text = '';
    socket.setEncoding('utf8').on('data', (part: string) => (text += part));
    socket.on('error', () => undefined);
    await once(socket, 'close');
    return text;
  };

  beforeEach(async () => {
    accepted = 0;
    server = createServer({ pauseOnConnect: true, allowHalfOpen: true }, (socket) => {
      accepted++;
      supervisor.connection('main', socket);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
  });
  afterEach(async () => {
    server.close();
    await supervisor.stop();
  });

  it('hands connections to its workers in turn', async () => {
    await supervise('steady', 2).start();
    const served: string[] = [];
    for (let i = 0; i < 6; i++) served.push(await client());
    const [one, two] = served;
    assert.notEqual(one, two);
    assert.deepEqual(served, [one, two, one, two, one, two]);
    assert.deepEqual([...(await bootIds())].sort(), [one, two].sort());
  });

  it('does not begin when a worker cannot', async () => {
    const started = supervise('cannot-begin', 1).start();
    await assert.rejects(
      started,
      (error) =>
        error instanceof AzimuthError &&
        error.code === 'AZ_WORKER_FAILED' &&
        error.message.includes('exit code 3'),
    );
  });

  it('replaces a worker that dies, at once the first time and later and later when they die young', async () => {
    await supervise('dies-young', 1).start();
    await until(() => deaths().length >= 4);
    assert.deepEqual(
      deaths()
        .slice(0, 4)
        .map((line) => line.wait_ms),
      [0, 100, 200, 400],
    );
    assert.ok(supervisor.died >= 4);
    assert.equal(new Set(deaths().map((line) => line.boot_id)).size, deaths().length);
  });

  it('lets connections wait while no worker lives, and gives them to the replacement', async () => {
    await supervise('steady', 1).start();
    const [before] = await bootIds();
    const [pid] = await pids();
    process.kill(pid!, 'SIGKILL');
    await until(() => supervisor.serving === 0);
    const served = await Promise.all([client(), client(), client()]);
    assert.deepEqual(served, Array(3).fill((await bootIds())[0]));
    assert.notEqual(served[0], before);
    assert.equal(supervisor.refused, 0);
  });

  it('leaves no connection open that was on its way to a worker when that was killed', async () => {
    await supervise('steady', 1).start();
    const [pid] = await pids();
    process.kill(pid!, 'SIGSTOP');
    const clients = [client(), client(), client()];
    await until(() => accepted === 3);
    process.kill(pid!, 'SIGKILL');
    // The one on the channel ends; those behind it are the replacement's.
    const served = await Promise.all(clients);
    const [replacement] = await bootIds();
    assert.deepEqual(
      served.filter((text) => text !== ''),
      [replacement, replacement],
    );
  });

  it('closes and counts connections that come when it has been stopped', async () => {
    await supervise('steady', 1).start();
    await supervisor.stop();
    assert.equal(await client(), '');
    assert.equal(supervisor.refused, 1);
  });

  it('starts the replacement of a worker that wants to leave before that ends', async () => {
    await supervise('steady', 1).start();
    const [before] = await bootIds();
    const [pid] = await pids();
    process.kill(pid!, 'SIGTERM');
    await until(async () => (await bootIds()).some((id) => id !== before));
    assert.equal(supervisor.died, 0);
    assert.equal(await client(), (await bootIds()).at(-1));
  });

  it('gives a restart up when a replacement does not begin, and keeps the old workers', async () => {
    await supervise('steady', 2).start();
    const before = await bootIds();
    supervisor.apply(partOf('cannot-begin', 2));
    await supervisor.restart();
    assert.deepEqual(await bootIds(), before);
    assert.ok(
      lines.some(({ message }) => message.startsWith('restart of the workers is given up')),
    );
    assert.ok(before.includes(await client()));
  });

  it('notes in the counter file of a worker when it was seen to have died', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'azimuth-supervisor-'));
    await supervise('steady', 1, folder).start();
    const [bootId] = await bootIds();
    const [pid] = await pids();
    const file = join(folder, counterFileName('steady', bootId!));
    const left = {
      write: 3,
      process: { pid, started: '1', pid_namespace: '' },
      resource: { bootId },
      ledger: { lastSeq: 7, closing: false },
      unix_ns: '5',
      write_end: 3,
    };
    writeFileSync(file, JSON.stringify(left));
    const beforeMs = Date.now();
    process.kill(pid!, 'SIGKILL');
    const noted = await until(() => {
      const now = JSON.parse(readFileSync(file, 'utf8')) as { ended_by_ms?: number };
      return now.ended_by_ms !== undefined && now;
    });
    assert.ok(noted.ended_by_ms! >= beforeMs);
    assert.deepEqual({ ...noted, ended_by_ms: undefined }, { ...left, ended_by_ms: undefined });
    await supervisor.stop();
    rmSync(folder, { recursive: true });
  });
});
