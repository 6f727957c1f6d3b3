/**
 * TLS of one listener: takes TCP connections, whoever accepted them, and hands on those that may
 * carry requests, with who is at the other end.
 *
 *   TCP ──first byte──┬─ a TLS record ──► handshake ──certificate──┬─ good ───► arrival
 *                     │                       └─ failed ► counted  └─ bad ────► arrival, to be refused
 *                     └─ anything else ─┬─ plain is served too ───► arrival
 *                                       └─ it is not ─────────────► arrival, to be refused
 *
 * A client that is refused gets an answer to its first request, so that people see why and the
 * refusal stands in a record; it reaches no route. Node's own check is switched off for that
 * (`rejectUnauthorized`) and done here, from the result of the same verification by OpenSSL.
 *
 * No session is resumed where clients have certificates: a resumed one would not be verified again,
 * and so outlive its certificate and its authority.
 */
import { constants } from 'node:crypto';
import type { Socket } from 'node:net';
import { createServer, type Server, type TLSSocket } from 'node:tls';
import type { ListenerTlsPart } from '../../mesh/part.ts';
import { monotonicMs } from '../../runtime/clock.ts';
import { messageOf } from '../../runtime/errors.ts';
import type { Admission } from '../admission.ts';
import { NEVER, type Deadlined, type Deadlines } from '../deadlines.ts';
import { FAILURES, type Failure } from '../rescue.ts';
import { plainArrival, type Arrival } from './arrival.ts';
import type { Credentials } from './credentials.ts';
import { spiffeIdIn } from './spiffe.ts';

/** First byte of every TLS connection: a handshake record (RFC 8446 5.1). No method begins with it. */
const HANDSHAKE_RECORD = 22;
/** Under which a handshake that did not come to its end is counted. */
const HANDSHAKE_FAILED = 'tls_handshake_failed';
/** Ours fires first; Node's own timer would be one for each connection. */
const NODE_TIMEOUT_MS = 2 ** 31 - 1;
/** Codes of OpenSSL's verification that mean the time, not the chain. */
const TIME_CODES = new Set(['CERT_HAS_EXPIRED', 'CERT_NOT_YET_VALID']);

export interface TlsGateSettings {
  readonly credentials: Credentials;
  readonly admission: Admission;
  readonly deadlines: Deadlines;
  /** From the connection to the end of the handshake, milliseconds. */
  readonly handshakeTimeoutMs: number;
  /** Of ids that are believed. */
  readonly trustDomain: () => string;
  /** Told of each client that is not let in: `reason` as it is counted. */
  readonly onRefusal: (reason: string, detail: string, address: string) => void;
}

export class TlsGate {
  readonly #settings: TlsGateSettings;
  readonly #arriving = new Map<string, Arriving>();
  #tls!: ListenerTlsPart;
  #server!: Server;
  /** Handshakes completed since the start, and how long they took together. */
  handshakes = 0;
  handshakesMs = 0;

  constructor(settings: TlsGateSettings, tls: ListenerTlsPart) {
    this.#settings = settings;
    this.apply(tls);
  }

  /** From the next handshake on, these certificates and rules count. */
  apply(tls: ListenerTlsPart): void {
    const [first, ...others] = this.#settings.credentials.ofListener(tls);
    const asksClients = tls.client_certificate !== 'none';
    const server = createServer({
      ...first!.options,
      requestCert: asksClients,
      rejectUnauthorized: false,
      handshakeTimeout: NODE_TIMEOUT_MS,
      // A second handshake on a connection of TLS 1.2 costs us far more than the client that asks.
      secureOptions:
        constants.SSL_OP_NO_RENEGOTIATION | (asksClients ? constants.SSL_OP_NO_TICKET : 0),
    });
    for (const { serverNames, context } of [first!, ...others]) {
      for (const name of serverNames) server.addContext(name, context);
    }
    server.on('secureConnection', (socket) => this.#secured(socket));
    server.on('tlsClientError', (error, socket) => this.#failed(error, socket));
    this.#tls = tls;
    this.#server = server;
  }

  /** Takes a connection; `onArrival` is called once, or never when it does not come so far. */
  take(raw: Socket, onArrival: (arrival: Arrival) => void): void {
    const { admission } = this.#settings;
    const address = raw.remoteAddress ?? '';
    const admitted = admission.enter(address);
    if (admitted !== undefined) {
      // An answer would cost a handshake, and that is what there is too much of.
      admission.leave(address, admitted);
      raw.on('error', () => undefined);
      raw.resetAndDestroy();
      return;
    }
    const arriving = new Arriving(raw, onArrival, this.#settings, () => {
      if (this.#arriving.get(arriving.key) === arriving) this.#arriving.delete(arriving.key);
      admission.leave(address, undefined);
    });
    this.#arriving.set(arriving.key, arriving);
    raw.once('readable', () => this.#firstBytes(arriving));
  }

  /** Ends connections that are not as far as a request. */
  close(): void {
    for (const arriving of this.#arriving.values()) arriving.raw.destroy();
  }

  #firstBytes(arriving: Arriving): void {
    const { raw } = arriving;
    const bytes = raw.read() as Buffer | null;
    if (bytes === null) {
      raw.destroy();
      return;
    }
    raw.unshift(bytes);
    if (bytes[0] === HANDSHAKE_RECORD) this.#server.emit('connection', raw);
    else if (this.#tls.plain) arriving.arrived(plainArrival(raw));
    else {
      const isMesh = this.#tls.clients === 'mesh';
      const refusal = isMesh ? FAILURES.identity_required : FAILURES.tls_required;
      this.#refused(refusal.name, 'plain HTTP', arriving.address);
      arriving.arrived(plainArrival(raw, refusal));
    }
  }

  #secured(socket: TLSSocket): void {
    const arriving = this.#arriving.get(keyOf(socket));
    if (arriving === undefined) {
      socket.destroy();
      return;
    }
    this.handshakes++;
    this.handshakesMs += monotonicMs() - arriving.sinceMs;
    const { id, refusal, detail } = this.#judge(socket);
    if (refusal !== undefined) this.#refused(refusal.name, detail, arriving.address);
    arriving.arrived({ socket, raw: arriving.raw, isTls: true, id, refusal });
  }

  #failed(error: Error, socket: TLSSocket): void {
    const arriving = this.#arriving.get(keyOf(socket));
    this.#refused(HANDSHAKE_FAILED, messageOf(error), arriving?.address ?? '');
    arriving?.raw.destroy();
  }

  #judge(socket: TLSSocket): { id: string; refusal?: Failure; detail: string } {
    const { client_certificate: wanted, clients } = this.#tls;
    if (wanted === 'none') return { id: '', detail: '' };
    const certificate = socket.getPeerX509Certificate();
    if (certificate === undefined) {
      return wanted === 'optional'
        ? { id: '', detail: '' }
        : { id: '', refusal: FAILURES.identity_required, detail: 'no certificate' };
    }
    const { subjectAltName = '' } = certificate;
    if (!socket.authorized) {
      const code = String(socket.authorizationError);
      const refusal = TIME_CODES.has(code)
        ? FAILURES.identity_expired
        : FAILURES.identity_untrusted;
      return { id: '', refusal, detail: `${code} ${subjectAltName}` };
    }
    if (clients === 'edge') return { id: '', detail: '' };
    // An authority is nobody's identity (X509-SVID 4.1): it could make itself any.
    if (certificate.ca) {
      return { id: '', refusal: FAILURES.identity_untrusted, detail: `CA ${subjectAltName}` };
    }
    const id = spiffeIdIn(certificate.subjectAltName, this.#settings.trustDomain());
    if (id !== undefined) return { id, detail: '' };
    return { id: '', refusal: FAILURES.identity_foreign, detail: subjectAltName };
  }

  #refused(reason: string, detail: string, address: string): void {
    this.#settings.admission.count(reason);
    this.#settings.onRefusal(reason, detail.slice(0, 200), address);
  }
}

/** A connection of which nobody knows yet who it is. Holds its place in the admission meanwhile. */
class Arriving implements Deadlined {
  readonly raw: Socket;
  readonly address: string;
  readonly key: string;
  readonly sinceMs = monotonicMs();
  deadline = NEVER;
  deadlineIndex = -1;
  readonly #onArrival: (arrival: Arrival) => void;
  readonly #deadlines: Deadlines;
  readonly #onLeft: () => void;
  readonly #ignore = (): void => undefined;
  readonly #closed = (): void => this.#left();
  #gone = false;

  constructor(
    raw: Socket,
    onArrival: (arrival: Arrival) => void,
    { deadlines, handshakeTimeoutMs }: TlsGateSettings,
    onLeft: () => void,
  ) {
    this.raw = raw;
    this.address = raw.remoteAddress ?? '';
    this.key = keyOf(raw);
    this.#onArrival = onArrival;
    this.#deadlines = deadlines;
    this.#onLeft = onLeft;
    this.deadline = deadlines.in(handshakeTimeoutMs);
    deadlines.add(this);
    // 'close' follows and does the work; stays, because the socket below TLS has errors too.
    raw.on('error', this.#ignore);
    raw.on('close', this.#closed);
  }

  arrived(arrival: Arrival): void {
    this.#left();
    this.raw.off('close', this.#closed);
    this.#onArrival(arrival);
  }

  onDeadline(): void {
    this.raw.destroy();
  }

  #left(): void {
    if (this.#gone) return;
    this.#gone = true;
    this.#deadlines.remove(this);
    this.#onLeft();
  }
}

/** Tells connections of one listener apart; a TLS socket has the addresses of the one below it. */
const keyOf = (socket: Socket): string =>
  `${socket.remoteAddress ?? ''} ${socket.remotePort ?? 0} ${socket.localAddress ?? ''} ${socket.localPort ?? 0}`;
