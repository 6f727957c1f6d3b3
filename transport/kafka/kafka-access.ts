/** How to get into a Kafka cluster: the same for producer, consumer and commands. */
import { readTlsFiles, type TlsFiles, type TlsPaths } from '../../runtime/tls-files.ts';

export interface KafkaAccess {
  /** `host:port`, at least one. */
  readonly brokers: readonly string[];
  /** Present, also empty: TLS to every broker, whose certificates are always verified. */
  readonly tls?: TlsFiles | undefined;
  readonly sasl?:
    | {
        readonly mechanism: 'plain' | 'scram-sha-256' | 'scram-sha-512';
        readonly username: string;
        readonly password: string;
      }
    | undefined;
}

/** The access that a mesh file describes. @throws AzimuthError AZ_CONFIG_INVALID naming a file. */
export function readKafkaAccess(
  part: Omit<KafkaAccess, 'tls'> & { readonly tls?: TlsPaths | undefined },
): KafkaAccess {
  const { brokers, sasl, tls } = part;
  return { brokers, sasl, tls: tls === undefined ? undefined : readTlsFiles(tls) };
}
