/**
 * The copy of the request in hand, where its route makes copies (mirror.ts): begun while the codec still
 * knows the request's head, moved on as the request is sent, and on its own from when it is whole. One
 * per exchange, made for the first request that needs it. Whatever goes wrong here is the copy's alone.
 */
import { FUNCTIONS, type HopRecord } from '../telemetry/hop-record.ts';
import { MIRRORED_HEADER } from '../telemetry/names.ts';
import type { Downstream } from './downstream-port.ts';
import type { FilterRun } from './filters/filter-run.ts';
import type { ListenerContext, Mirroring } from './listener-context.ts';
import { Mirror } from './mirror.ts';
import type { RequestBody } from './request-body.ts';
import type { RoutedRequest } from './routed-request.ts';
import { writeUpstreamHead } from './upstream-request.ts';

/** Phase of what a copy costs its request. */
export const MIRROR = FUNCTIONS.indexOf('mirror');
/** Line of a request that is a copy, or was made on behalf of one. */
export const MARK_LINE = `${MIRRORED_HEADER}: 1\r\n`;

/** What it needs of the exchange. */
interface CopiedExchange {
  readonly owner: {
    readonly request: RoutedRequest;
    readonly filters: FilterRun | undefined;
  };
  readonly down: Downstream;
  readonly context: ListenerContext;
  readonly body: RequestBody;
}

export class RequestCopy {
  readonly #of: CopiedExchange;
  /** Until the request is whole. */
  #copy: Mirror | undefined;

  constructor(of: CopiedExchange) {
    this.#of = of;
  }

  /**
   * Begins a copy, if this request is to have one. Its head is that at b[s, …) whose text is `head`, which
   * was just parsed; `record` its hop's; `leftMs` as in writeUpstreamHead. Overwrites `upstreamHead`.
   */
  begin(
    mirroring: Mirroring,
    record: HopRecord,
    b: Buffer,
    head: string,
    s: number,
    leftMs: number,
    nowMs: number,
  ): void {
    const { context, down, owner, body } = this.#of;
    const { request, filters } = owner;
    const { route, percent, counts } = mirroring;
    const { timers, onFault } = context.shared;
    // Copies are not copied again, or two services could do so for ever.
    if (request.mirrored || (percent < 100 && timers.random() * 100 >= percent)) return;
    if (request.protocols.length > 0) {
      counts.skip('upgrade');
      return;
    }
    if (!route.runtime.enter()) {
      counts.skip('in_flight');
      return;
    }
    try {
      const copy = new Mirror(mirroring, context.shared, request.isHead);
      const own = copy.open(record, down.truncatedAddress, nowMs);
      const { role } = route.cluster;
      const marks = role === 'external' ? '' : MARK_LINE;
      const changes = filters?.headChanges(role);
      writeUpstreamHead(b, head, s, context, route, own, true, down, leftMs, changes, marks);
      copy.headWritten(request.copyShape(route, down.isTls, filters));
      request.copied = true;
      this.#copy = copy;
      if (!body.done) body.copy = copy.body;
    } catch (error) {
      route.runtime.leave();
      onFault(error);
    }
  }

  /** More of the request was sent: the copy goes when that is whole, or not at all. */
  move(): void {
    const copy = this.#copy;
    const { body } = this.#of;
    if (copy === undefined || (copy.body.isWhole && !body.done)) return;
    this.#copy = undefined;
    body.copy = undefined;
    if (copy.body.isWhole) copy.send(body);
    else copy.skip('body_too_large');
  }

  /** The request ended. Safe to call twice. */
  end(): void {
    this.#copy?.skip('request_ended');
    this.#copy = undefined;
  }
}
