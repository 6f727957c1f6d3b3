/** What the page reads of `GET /api/live`: the names of analytics/live/snapshot.ts that it uses. */

export type Perspective = 'split' | 'whole';
export type Direction = 'north_south' | 'east_west' | 'unknown' | 'neither';

export interface Edge {
  readonly from: string;
  readonly to: string;
  readonly edge_class: string;
  readonly direction: Readonly<Record<Perspective, Direction>>;
  readonly legs: number;
  readonly per_s: number;
  readonly errors: number;
  readonly p50_ms: number | null;
  readonly p99_ms: number | null;
  readonly own_p50_ms: number | null;
}

export interface Line {
  readonly direction: Direction;
  readonly part: string;
  readonly legs: number;
  readonly errors: number;
  readonly error_share: number | null;
  readonly attempts: number;
}

export interface Report {
  readonly meshes: readonly string[];
  readonly topologies: readonly string[];
  readonly requests: number;
  readonly requests_per_s: number;
  readonly legs: {
    readonly north_south: number;
    readonly east_west: number;
    readonly unknown: number;
    readonly loopback: number;
    readonly sum: number;
  };
  readonly moved: { readonly legs: number; readonly to_direction: Direction };
  readonly lines: readonly Line[];
  readonly cpu: readonly { readonly role: string; readonly processes: number }[];
  readonly accounted_for: {
    readonly finished: number;
    readonly stored: number;
    readonly dropped_total: number;
    readonly unexplained: number;
    readonly processes: number;
  };
}

export interface Mean {
  readonly ms: number;
  readonly low_ms: number;
  readonly high_ms: number;
}

export interface Band {
  readonly percentile: number;
  readonly requests: number;
  readonly few: boolean;
  readonly total: Mean;
  readonly kinds: Readonly<Record<string, Mean>>;
}

export interface Attribution {
  readonly complete: number;
  readonly incomplete: number;
  readonly arriving: number;
  readonly incomplete_by_reason: Readonly<Record<string, number>>;
  readonly hops_missing: number;
  readonly bands: readonly Band[];
}

export interface RequestLine {
  readonly trace: string;
  readonly at: string;
  readonly method: string;
  readonly route: string;
  readonly status: number;
  readonly error_type: string;
  readonly ms: number;
  readonly where: string;
}

export interface Snapshot {
  readonly at: string;
  readonly window_s: number;
  readonly perspectives: Readonly<Record<Perspective, Report>>;
  readonly edges: readonly Edge[];
  readonly attribution: Attribution;
  readonly columns: {
    readonly step_ms: number;
    readonly cells: readonly (readonly [number, number, number, number])[];
  };
  readonly slowest: readonly RequestLine[];
  readonly failing: readonly RequestLine[];
  readonly pipeline: { readonly newest_hop_s: number | null; readonly dead_letters: number };
}

export interface Explanation {
  readonly trace_id: string;
  readonly at: string;
  readonly duration_ms: number;
  readonly incomplete: readonly string[];
  readonly hops: readonly {
    readonly service: string;
    readonly role: string;
    readonly side: string;
    readonly method: string;
    readonly route: string;
    readonly status: number;
    readonly attempts: number;
    readonly caller: number | null;
    readonly offset_ms: number | null;
    readonly duration_ms: number;
    readonly own_ms: number;
  }[];
  readonly kinds: Readonly<Record<string, number>>;
}
