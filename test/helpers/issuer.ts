/**
 * An issuer of tokens with its key server, whose keys rotate and whose server dies, hangs or answers
 * garbage as a test says.
 */
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { exportJWK, generateKeyPair, SignJWT, type CryptoKey, type JWK } from 'jose';

export const ISSUER = 'https://issuer.example';
export const AUDIENCE = 'shop';
/** Times of tokens count from here, Unix seconds. */
export const NOW_S = 1_800_000_000;

/** A key pair with the name of its public half. */
export interface IssuerKey {
  readonly kid: string;
  readonly alg: string;
  readonly privateKey: CryptoKey;
  readonly jwk: JWK;
}

export async function issuerKey(kid: string, alg = 'ES256'): Promise<IssuerKey> {
  const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true });
  return { kid, alg, privateKey, jwk: { ...(await exportJWK(publicKey)), kid, alg } };
}

/** A token that holds, with what a test changes of it. */
export function token(
  { kid, alg, privateKey }: IssuerKey,
  claims: Record<string, unknown> = {},
  header: Record<string, unknown> = {},
): Promise<string> {
  return new SignJWT({
    iss: ISSUER,
    aud: AUDIENCE,
    sub: 'user-1',
    azp: 'mobile-app',
    iat: NOW_S,
    exp: NOW_S + 600,
    ...claims,
  })
    .setProtectedHeader({ alg, kid, ...header })
    .sign(privateKey);
}

export const keySetText = (...keys: readonly IssuerKey[]): string =>
  JSON.stringify({ keys: keys.map(({ jwk }) => jwk) });

export class KeyServer {
  /** What it answers. */
  body = '';
  status = 200;
  headers: Record<string, string> = {};
  hangs = false;
  /** It answers when this resolves. */
  hold: Promise<void> | undefined;
  requests = 0;
  readonly #server: Server;
  #port = 0;

  constructor(...keys: readonly IssuerKey[]) {
    this.body = keySetText(...keys);
    this.#server = createServer((_, response) => {
      this.requests++;
      if (this.hangs) return;
      void (this.hold ?? Promise.resolve()).then(() => {
        response.writeHead(this.status, this.headers);
        response.end(this.body);
      });
    });
  }

  /** From now on these are its keys. */
  publish(...keys: readonly IssuerKey[]): void {
    this.body = keySetText(...keys);
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}/keys`;
  }

  async start(): Promise<this> {
    this.#server.listen(this.#port, '127.0.0.1');
    await once(this.#server, 'listening');
    this.#port = (this.#server.address() as AddressInfo).port;
    return this;
  }

  /** Refuses connections until it is started again. Safe to call twice. */
  async stop(): Promise<void> {
    if (!this.#server.listening) return;
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }
}
