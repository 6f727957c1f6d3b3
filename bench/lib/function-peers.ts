/**
 * Functions of a gateway as the benchmark runs them: each alone, in a gateway that is otherwise the
 * one of `azimuth`, and never in a way that refuses a request.
 */
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { createAuthority, issue } from '../../runtime/certificate-authority.ts';
import type { Headers } from './load.ts';

export interface BenchFunction {
  /** Group `functions:` of the gateway, in YAML's flow form. */
  readonly yaml: string;
  /** What a request must bring; given to the gateway without the function too. */
  readonly headers: Headers;
  /** Further keys of the gateway's `listen`. */
  readonly listen?: string;
  /** Its clients speak TLS. */
  readonly isTls?: boolean;
  /** Writes the files that it names into the folder of the mesh file. */
  readonly prepare?: (folder: string) => void;
}

const ISSUER = 'https://issuer.example';
const API_KEY = 'bench-5d0c8e1f7a';
const sha256 = createHash('sha256').update(API_KEY).digest('hex');

/** RS256 with 2,048 bits: what most issuers use, and the cheapest to check. */
async function jwt(): Promise<BenchFunction> {
  const { publicKey, privateKey } = await generateKeyPair('RS256', { extractable: true });
  const keys = [{ ...(await exportJWK(publicKey)), kid: 'bench', alg: 'RS256' }];
  const token = await new SignJWT({ iss: ISSUER, aud: 'bench', sub: 'user', azp: 'app' })
    .setProtectedHeader({ alg: 'RS256', kid: 'bench' })
    .setExpirationTime('1d')
    .sign(privateKey);
  return {
    yaml: `{ jwt: { jwks_file: keys.json, issuer: "${ISSUER}", audiences: [bench], consumer_claim: azp } }`,
    headers: { Authorization: `Bearer ${token}` },
    prepare: (folder) => writeFileSync(join(folder, 'keys.json'), JSON.stringify({ keys })),
  };
}

/** TLS 1.3 with a P-256 certificate, on connections that stay: records, hardly any handshakes. */
async function tls(): Promise<BenchFunction> {
  const day = 86_400_000;
  const authority = await createAuthority('bench', 'bench.test', new Date(Date.now() + day));
  const { cert, key } = await issue(authority, {
    commonName: 'edge',
    uris: ['spiffe://bench.test/edge'],
    notBefore: new Date(Date.now() - day),
    notAfter: new Date(Date.now() + day),
  });
  return {
    yaml: '{}',
    headers: {},
    listen: ', tls: { certificates: [{ cert: edge.pem, key: edge.key }], min_version: "1.3" }',
    isTls: true,
    prepare: (folder) => {
      writeFileSync(join(folder, 'edge.pem'), cert);
      writeFileSync(join(folder, 'edge.key'), key);
    },
  };
}

/** By key of `--with`. */
export const BENCH_FUNCTIONS: Readonly<Record<string, () => Promise<BenchFunction>>> = {
  tls,
  jwt,
  apikeys: () =>
    Promise.resolve({
      yaml: `{ api_keys: { keys: [{ consumer: app, sha256: "${sha256}" }] } }`,
      headers: { 'X-API-Key': API_KEY },
    }),
  ratelimit: () =>
    Promise.resolve({
      yaml: '{ rate_limits: [{ by: client, requests: 1000000000 }] }',
      headers: {},
    }),
  cors: () =>
    Promise.resolve({
      yaml: '{ cors: { origins: ["https://shop.example"], credentials: true } }',
      headers: { Origin: 'https://shop.example' },
    }),
  headers: () =>
    Promise.resolve({
      yaml: '{ headers: { request: { set: { x-env: prod } }, response: { set: { x-frame-options: DENY }, remove: [x-powered-by] } } }',
      headers: {},
    }),
};
