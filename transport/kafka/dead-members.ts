/**
 * Takes dead predecessors out of a consumer group, so that a collector that is started again after
 * kill -9 or a crash works at once and not when the broker's session timeout is over.
 *
 * Each member says in its subscription which process it is (kernel, host, pid namespace, pid, start
 * time). A process that joins compares: of its own machine it can tell who lives. It asks the broker
 * to let the dead ones leave, as they would have done themselves. Kafka's static membership would do
 * the same, but kafkajs does not speak it, and it needs a name per replica from the operator.
 *
 * Only a hint: whoever is taken for dead and is not joins again by itself (one rebalance, nothing
 * lost). Without /proc (macOS) nobody is judged, and the session timeout decides.
 */
import kafkajs from 'kafkajs';
import { readFileSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf } from '../../runtime/errors.ts';
import type { Log } from '../../runtime/log.ts';

/** Which process a member is; as JSON in the user data of its subscription. */
export interface ProcessIdentity {
  /** Of the running kernel: the machine since its last start. */
  readonly kernel: string;
  readonly host: string;
  readonly pidNamespace: string;
  readonly pid: number;
  /** Clock ticks since the kernel's start: a pid used again has another. */
  readonly started: string;
}

/** A member of the group, as the broker describes it. */
interface MemberDescription {
  readonly memberId: string;
  readonly memberMetadata: Buffer;
}

/** What is used here of a broker and of a cluster of kafkajs's own. */
interface Coordinator {
  describeGroups(request: { groupIds: string[] }): Promise<{
    groups: { members: MemberDescription[] }[];
  }>;
  leaveGroup(request: { groupId: string; memberId: string }): Promise<unknown>;
}
interface Cluster {
  connect(): Promise<void>;
  disconnect(): Promise<void>;
  findGroupCoordinator(request: { groupId: string }): Promise<Coordinator>;
}

/** The dead leave only when we are known to the group: an empty one makes its first member wait. */
const LOOK_EVERY_MS = 50;
const LOOK_TIMES = 200;

/** When the kernel started `pid`; undefined when there is no such process, or no /proc. */
function startOf(pid: number | 'self'): string | undefined {
  try {
    // The name, field 2, may hold anything; the fields behind its last bracket cannot.
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return undefined;
  }
}

/** This process; undefined where the system does not tell. */
export function ownIdentity(): ProcessIdentity | undefined {
  try {
    return {
      kernel: readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim(),
      host: hostname(),
      pidNamespace: readlinkSync('/proc/self/ns/pid'),
      pid: process.pid,
      started: startOf('self') ?? '',
    };
  } catch {
    return undefined;
  }
}

/** True when `own` can tell for sure enough that `other` has ended. */
export function hasEnded(
  other: ProcessIdentity,
  own: ProcessIdentity,
  startedAt: (pid: number) => string | undefined = startOf,
): boolean {
  if (other.kernel !== own.kernel || other.host !== own.host) return false;
  if (other.pidNamespace === own.pidNamespace) return startedAt(other.pid) !== other.started;
  // A container that was started again has a new namespace, the same name, and the same first process.
  return own.pid === 1 && other.pid === 1;
}

const { MemberMetadata } = kafkajs.AssignerProtocol;
const { roundRobin } = kafkajs.PartitionAssigners;

/** kafkajs's round robin, with who we are in the subscription. */
export function assignerOf(own: ProcessIdentity | undefined): kafkajs.PartitionAssigner {
  return (config) => {
    const assigner = roundRobin(config);
    if (own === undefined) return assigner;
    return {
      ...assigner,
      protocol: ({ topics }) => ({
        name: assigner.name,
        metadata: MemberMetadata.encode({
          version: assigner.version,
          topics,
          userData: Buffer.from(JSON.stringify(own)),
        }),
      }),
    };
  };
}

function identityOf({ memberMetadata }: MemberDescription): ProcessIdentity | undefined {
  try {
    const userData = MemberMetadata.decode(memberMetadata)?.userData;
    return userData === undefined || userData.length === 0
      ? undefined
      : (JSON.parse(userData.toString()) as ProcessIdentity);
  } catch {
    return undefined;
  }
}

/**
 * Looks who of the group has died. Returns a function to call when our own join is under way: it
 * waits until the broker knows us and lets the dead leave. Neither ever rejects.
 */
export async function findDeadMembers(
  kafka: kafkajs.Kafka,
  groupId: string,
  own: ProcessIdentity | undefined,
  log: Log,
): Promise<() => Promise<void>> {
  const nobody = (): Promise<void> => Promise.resolve();
  const cluster = own === undefined ? undefined : clusterOf(kafka);
  if (cluster === undefined || own === undefined) return nobody;
  const close = (): Promise<void> => cluster.disconnect().catch(() => undefined);
  try {
    await cluster.connect();
    const coordinator = await cluster.findGroupCoordinator({ groupId });
    const members = await membersOf(coordinator, groupId);
    const dead = members.filter((member) => {
      const identity = identityOf(member);
      return identity !== undefined && hasEnded(identity, own);
    });
    if (dead.length === 0) {
      await close();
      return nobody;
    }
    const known = new Set(members.map(({ memberId }) => memberId));
    return async () => {
      try {
        for (let looks = 0; looks < LOOK_TIMES; looks++) {
          const now = await membersOf(coordinator, groupId);
          if (now.some(({ memberId }) => !known.has(memberId))) break;
          await sleep(LOOK_EVERY_MS);
        }
        for (const { memberId } of dead) await coordinator.leaveGroup({ groupId, memberId });
        log.info('took dead members out of the consumer group', { members: dead.length });
      } catch (error) {
        log.debug('dead members stay in the group until their session ends', {
          error: messageOf(error),
        });
      } finally {
        await close();
      }
    };
  } catch (error) {
    log.debug('could not look for dead members', { error: messageOf(error) });
    await close();
    return nobody;
  }
}

async function membersOf(coordinator: Coordinator, groupId: string): Promise<MemberDescription[]> {
  const { groups } = await coordinator.describeGroups({ groupIds: [groupId] });
  return groups[0]?.members ?? [];
}

/** kafkajs has LeaveGroup for a consumer's own leaving only; its inner cluster takes any member's. */
function clusterOf(kafka: kafkajs.Kafka): Cluster | undefined {
  const symbol = Object.getOwnPropertySymbols(kafka).find(
    ({ description }) => description === 'private:Kafka:createCluster',
  );
  if (symbol === undefined) return undefined;
  const inner = kafka as unknown as Record<symbol, (options: object) => Cluster>;
  return inner[symbol]!({ metadataMaxAge: 300_000, allowAutoTopicCreation: false });
}
