/**
 * What a report shows, before it is known where: in a terminal or as a page to mail. A report makes
 * its figures, and of these one presentation; presentation-text.ts and html/ only draw it, so that
 * both say the same. Pure: strings and shares, no markup and no escape sequences.
 */
import type { Window } from '../window.ts';
import type { Column } from './table.ts';

/** What every report says about what it was made of. */
export interface ReportHead {
  readonly from: string;
  readonly to: string;
  readonly window_s: number;
  /** Up to here data are final but for late rows, past it provisional. */
  readonly final_until: string;
  readonly provisional: boolean;
  /** Stored hops that the figures are made of, each counted once. */
  readonly rows: number;
}

export function headOf(window: Window, finalUntilMs: number, rows: number): ReportHead {
  return {
    from: new Date(window.fromMs).toISOString(),
    to: new Date(window.toMs).toISOString(),
    window_s: (window.toMs - window.fromMs) / 1000,
    final_until: new Date(finalUntilMs).toISOString(),
    provisional: finalUntilMs < window.toMs,
    rows,
  };
}

export interface PresentedTable {
  readonly caption: string;
  readonly columns: readonly Column[];
  /** Share of the greatest row, 0 to 1, drawn as a small bar at the end of each row. */
  readonly bars?: { readonly head: string; readonly shares: readonly number[] };
  /** What stands there when there are no rows. */
  readonly empty: string;
}

/** A value with its interval. */
export interface PlottedRange {
  readonly label: string;
  readonly low: number;
  readonly middle: number;
  readonly high: number;
}

/** A plot of a page; terminals show the tables only. */
export type Plot =
  /** From low to high with a mark at the middle, on a logarithmic axis: p50 to p99. */
  | {
      readonly kind: 'spans';
      readonly caption: string;
      readonly unit: string;
      readonly rows: readonly PlottedRange[];
    }
  /** Parts of a whole, side by side in one bar. Negative parts are left out, and the caption says so. */
  | {
      readonly kind: 'stacks';
      readonly caption: string;
      readonly unit: string;
      readonly parts: readonly string[];
      readonly rows: readonly { readonly label: string; readonly values: readonly number[] }[];
    }
  /** Effects with their intervals about a line at 0. */
  | {
      readonly kind: 'effects';
      readonly caption: string;
      readonly unit: string;
      readonly rows: readonly PlottedRange[];
    };

export interface Presentation {
  readonly title: string;
  /** The question that it answers, as one sentence. */
  readonly about: string;
  readonly head: Omit<ReportHead, 'rows'>;
  /** Beside the window: perspective, filters. */
  readonly context: readonly string[];
  /** Sums in words, `1,236 requests`. */
  readonly facts: readonly string[];
  readonly tables: readonly PresentedTable[];
  readonly plots: readonly Plot[];
  /** What a reader must know before believing: small numbers, lost hops, what was left out. */
  readonly warnings: readonly string[];
  /** How to read the columns. */
  readonly notes: readonly string[];
}
