/**
 * Preloaded into commands that must open nothing: the first socket that is opened ends the process
 * with a status of its own, so that `--check` cannot listen or connect unnoticed.
 */
import { Server, Socket } from 'node:net';

/** No command of ours ends with this status. */
const OPENED_A_SOCKET = 99;

function refuse(): never {
  process.stderr.write('a socket was opened\n');
  process.exit(OPENED_A_SOCKET);
}

Server.prototype.listen = refuse;
Socket.prototype.connect = refuse;
