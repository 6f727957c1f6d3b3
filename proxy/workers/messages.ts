/**
 * What goes over the channel between a primary and one of its workers. Order is kept, also between
 * messages with a connection and those without: a worker told to stop has got every connection that
 * was handed to it before.
 *
 *     primary                                   worker
 *        ── configure (part) ───────────────────►   builds its data plane
 *        ◄───────────────── ready (boot id) ──      carries requests
 *        ── connection (listener) + socket ────►
 *        ── apply (part) ──────────────────────►
 *        ── stop ──────────────────────────────►   drains, states its closing ledger, ends
 *        ◄───────────────── leaving ──────────      was told to end by a signal of its own
 */
import type { ProxyPart } from '../../mesh/part.ts';
import type { Question, Reply } from './snapshots.ts';

export type ToWorker =
  | {
      readonly kind: 'configure';
      readonly part: ProxyPart;
      /** Place among the workers, from 0. */
      readonly worker: number;
      readonly stateFolder: string | undefined;
    }
  | { readonly kind: 'connection'; readonly listener: string }
  | { readonly kind: 'apply'; readonly part: ProxyPart }
  | { readonly kind: 'stop' }
  | Question;

export type ToPrimary =
  { readonly kind: 'ready'; readonly bootId: string } | { readonly kind: 'leaving' } | Reply;
