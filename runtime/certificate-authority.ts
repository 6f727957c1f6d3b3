/**
 * A small authority for development: makes the key and certificate of an authority, and short-lived
 * certificates of workloads (X.509-SVID) and servers. The door to the X.509 library. Keys are ECDSA
 * P-256, which every TLS stack of the last ten years takes. Writes no files and keeps nothing.
 *
 * Not for production: whoever can read the authority's key can be anybody. There, let an issuer
 * with its key in hardware write the same files (docs/IDENTITY.md).
 */
import 'reflect-metadata';
import { randomBytes, webcrypto } from 'node:crypto';
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  PemConverter,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
  type Extension,
  type JsonGeneralName,
} from '@peculiar/x509';

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
/** Clocks of two machines may differ by this much without one calling the other's new one unborn. */
const CLOCK_SKEW_MS = 5 * 60_000;

/** PEM texts. */
export interface Issued {
  readonly cert: string;
  readonly key: string;
}

/** An authority that can sign. */
export interface Authority extends Issued {
  /** Of its key; two authorities of one name differ by it. */
  readonly keyId: string;
}

/** What a certificate is for. */
export interface Subject {
  /** For people; who it is stands in `uris` and `dnsNames`. At most 64 bytes. */
  readonly commonName: string;
  readonly uris?: readonly string[];
  readonly dnsNames?: readonly string[];
  readonly ipAddresses?: readonly string[];
  readonly notAfter: Date;
  /** Default: a little before now. */
  readonly notBefore?: Date;
}

/** A new authority called `name`. With `trustDomain` only for ids of it. */
export async function createAuthority(
  name: string,
  trustDomain: string | undefined,
  notAfter: Date,
): Promise<Authority> {
  const keys = await newKeys();
  const subjectKey = await SubjectKeyIdentifierExtension.create(keys.publicKey, false, webcrypto);
  const certificate = await X509CertificateGenerator.createSelfSigned(
    {
      serialNumber: serialNumber(),
      name: nameOf(name),
      notBefore: new Date(Date.now() - CLOCK_SKEW_MS),
      notAfter,
      signingAlgorithm: ALGORITHM,
      keys,
      extensions: [
        // Signs leaves only: no authority below it.
        new BasicConstraintsExtension(true, 0, true),
        new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
        subjectKey,
        ...(trustDomain === undefined ? [] : [alternativeNames([uri(`spiffe://${trustDomain}`)])]),
      ],
    },
    webcrypto,
  );
  return {
    cert: certificate.toString('pem') + '\n',
    key: await pemOfKey(keys.privateKey),
    keyId: subjectKey.keyId,
  };
}

/** A certificate of the authority, with a key of its own. Throws when the authority's PEM is bad. */
export async function issue(authority: Issued, subject: Subject): Promise<Issued> {
  const issuer = new X509Certificate(authority.cert);
  const signingKey = await webcrypto.subtle.importKey(
    'pkcs8',
    PemConverter.decodeFirst(authority.key),
    ALGORITHM,
    false,
    ['sign'],
  );
  const keys = await newKeys();
  const { uris = [], dnsNames = [], ipAddresses = [] } = subject;
  const names: JsonGeneralName[] = [
    ...uris.map(uri),
    ...dnsNames.map((value): JsonGeneralName => ({ type: 'dns', value })),
    ...ipAddresses.map((value): JsonGeneralName => ({ type: 'ip', value })),
  ];
  const extensions: Extension[] = [
    new BasicConstraintsExtension(false, undefined, true),
    new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
    // A proxy is both: server of its listeners, client of the next.
    new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth, ExtendedKeyUsage.clientAuth]),
    await SubjectKeyIdentifierExtension.create(keys.publicKey, false, webcrypto),
    await AuthorityKeyIdentifierExtension.create(issuer, false, webcrypto),
    ...(names.length === 0 ? [] : [alternativeNames(names)]),
  ];
  const certificate = await X509CertificateGenerator.create(
    {
      serialNumber: serialNumber(),
      subject: nameOf(subject.commonName),
      issuer: issuer.subject,
      notBefore: subject.notBefore ?? new Date(Date.now() - CLOCK_SKEW_MS),
      notAfter: subject.notAfter,
      signingAlgorithm: ALGORITHM,
      publicKey: keys.publicKey,
      signingKey,
      extensions,
    },
    webcrypto,
  );
  return { cert: certificate.toString('pem') + '\n', key: await pemOfKey(keys.privateKey) };
}

const newKeys = (): Promise<webcrypto.CryptoKeyPair> =>
  webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);

async function pemOfKey(key: webcrypto.CryptoKey): Promise<string> {
  return PemConverter.encode(await webcrypto.subtle.exportKey('pkcs8', key), 'PRIVATE KEY') + '\n';
}

const uri = (value: string): JsonGeneralName => ({ type: 'url', value });

const alternativeNames = (names: JsonGeneralName[]): SubjectAlternativeNameExtension =>
  new SubjectAlternativeNameExtension(names);

/** As JSON, so that no character of a name has a meaning. */
const nameOf = (commonName: string): { CN: string[] }[] => [{ CN: [commonName.slice(0, 64)] }];

/** 127 random bits; the first is 0, since the number must be positive (RFC 5280 4.1.2.2). */
function serialNumber(): string {
  const bytes = randomBytes(16);
  bytes[0] = (bytes[0]! & 0x7f) | 0x40;
  return bytes.toString('hex');
}
