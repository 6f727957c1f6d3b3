/**
 * deploy/kubernetes as a cluster would get it: built by kustomize's own engine and decoded strictly by
 * Kubernetes' own types (manifests/), with the parts of the objects that the tests look at.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const BASE = fileURLToPath(new URL('../../../deploy/kubernetes', import.meta.url));
const SOURCES = fileURLToPath(new URL('./manifests', import.meta.url));

/** Go as k8s.io/api needs it; older ones cannot read its go.mod. */
const GO_MINOR_LEAST = 24;

export interface Probe {
  readonly httpGet?: { readonly path: string; readonly port: string | number };
  readonly exec?: { readonly command: readonly string[] };
}

export interface Container {
  readonly name: string;
  readonly image: string;
  readonly command?: readonly string[];
  readonly args: readonly string[];
  readonly restartPolicy?: string;
  readonly env?: readonly {
    readonly name: string;
    readonly value?: string;
    readonly valueFrom?: {
      readonly secretKeyRef?: { readonly name: string; readonly key: string };
    };
  }[];
  readonly ports?: readonly { readonly name: string; readonly containerPort: number }[];
  readonly startupProbe?: Probe;
  readonly livenessProbe?: Probe;
  readonly readinessProbe?: Probe;
  readonly lifecycle?: { readonly preStop?: { readonly sleep?: { readonly seconds: number } } };
  readonly resources?: {
    readonly requests?: Readonly<Record<string, string>>;
    readonly limits?: Readonly<Record<string, string>>;
  };
  readonly securityContext?: Readonly<Record<string, unknown>>;
  readonly volumeMounts?: readonly { readonly name: string; readonly mountPath: string }[];
}

export interface PodSpec {
  readonly terminationGracePeriodSeconds?: number;
  readonly automountServiceAccountToken?: boolean;
  readonly securityContext?: Readonly<Record<string, unknown>>;
  readonly initContainers?: readonly Container[];
  readonly containers: readonly Container[];
  readonly volumes: readonly {
    readonly name: string;
    readonly configMap?: { readonly name: string };
    readonly secret?: { readonly secretName: string; readonly defaultMode: number };
    readonly emptyDir?: object;
  }[];
}

/** An object of any kind here; which parts it has depends on `kind`. */
export interface Manifest {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
  /** Of a ConfigMap. */
  readonly data?: Readonly<Record<string, string>>;
  readonly spec?: {
    readonly replicas?: number;
    readonly selector?: Readonly<Record<string, unknown>>;
    readonly clusterIP?: string;
    readonly ports?: readonly { readonly port: number; readonly targetPort: string }[];
    readonly podSelector?: {
      readonly matchLabels?: Readonly<Record<string, string>>;
      readonly matchExpressions?: readonly { readonly values: readonly string[] }[];
    };
    readonly ingress?: readonly {
      readonly from?: readonly {
        readonly namespaceSelector?: { readonly matchLabels: Readonly<Record<string, string>> };
      }[];
      readonly ports: readonly { readonly port: string }[];
    }[];
    readonly template?: {
      readonly metadata: { readonly labels: Readonly<Record<string, string>> };
      readonly spec: PodSpec;
    };
  };
}

/** Why manifests cannot be built here; undefined where they can. */
export function whyNoGo(): string | undefined {
  const version = /go1\.(\d+)/.exec(spawnSync('go', ['version'], { encoding: 'utf8' }).stdout)?.[1];
  if (version !== undefined && Number(version) >= GO_MINOR_LEAST) return undefined;
  return `Go 1.${GO_MINOR_LEAST} or newer is needed to decode Kubernetes' manifests (found: ${version === undefined ? 'none' : `1.${version}`})`;
}

/** Compiles the program into a folder and returns its path. */
export function buildDecoder(folder: string): string {
  const decoder = join(folder, 'manifests');
  const built = spawnSync('go', ['build', '-o', decoder, '.'], { cwd: SOURCES, encoding: 'utf8' });
  assert.equal(built.status, 0, built.stderr);
  return decoder;
}

/** What the program makes of a kustomization: the objects, or its words of refusal. */
export function decode(
  decoder: string,
  folder: string,
): { readonly manifests: readonly Manifest[]; readonly refusal: string | undefined } {
  const { status, stdout, stderr } = spawnSync(decoder, [folder], { encoding: 'utf8' });
  if (status !== 0) return { manifests: [], refusal: stderr };
  return { manifests: JSON.parse(stdout) as Manifest[], refusal: undefined };
}

/** All containers of a pod, those that start first first. */
export const containersOf = (pod: PodSpec): Container[] => [
  ...(pod.initContainers ?? []),
  ...pod.containers,
];
