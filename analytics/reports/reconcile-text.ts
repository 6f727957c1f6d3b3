/** The terminal form of a reconciliation. Pure. */
import type { BootAccount } from '../boot-account.ts';
import type { EdgeAccount, Reconciliation } from '../reconcile.ts';
import { count } from './numbers.ts';
import { renderTable } from './table.ts';

const STATE_TEXT: Readonly<Record<BootAccount['state'], string>> = {
  running: 'running',
  closed: 'closed',
  ended_without_closing_ledger: 'ended, no closing ledger',
  no_ledger: 'no ledger arrived',
};

/** A table of processes, what is wrong in words, edges that do not match, and the sum last. */
export function reconcileText(result: Reconciliation, widthTerminal: number): string {
  const width = Math.min(110, widthTerminal) - 2;
  const { boots, totals } = result;
  if (boots.length === 0) {
    return '  No proxy was alive in this window: neither ledgers nor hops are stored.\n';
  }
  const lines = bootTable(boots, width);
  lines.push('');
  for (const boot of boots) lines.push(...remarksOn(boot));
  if (result.undecodable_messages > 0) {
    lines.push(
      `${count(result.undecodable_messages)} messages were dead-lettered without telling which hops they held`,
    );
  }
  for (const hole of result.deleted_by_broker) {
    lines.push(
      `the broker deleted ${count(hole.messages)} messages of ${hole.topic}/${hole.partition} before they were read ` +
        `(offsets ${hole.from_offset} to ${hole.to_offset}); hops in them are unexplained`,
    );
  }
  for (const { topic, partition, offset } of result.began_past_start) {
    lines.push(
      `reading of ${topic}/${partition} began at offset ${offset} without a position of the group: ` +
        'what was before is unknown',
    );
  }
  const apart = (result.edges ?? []).filter(
    (edge) => edge.exits_unmatched > 0 || edge.entries_unmatched > 0,
  );
  if (apart.length > 0) lines.push('', ...edgeTable(apart, width), '');
  else if ((result.edges ?? []).length > 0) {
    const edges = result.edges?.length ?? 0;
    lines.push(
      `${count(edges)} ${edges === 1 ? 'edge' : 'edges'}: every answered exit has its entry`,
    );
  }
  lines.push(
    `${count(totals.finished)} hops finished = ${count(totals.stored)} stored + ${count(totals.dropped_total)} dropped + ` +
      `${count(totals.in_flight)} in flight + ${totals.spooled > 0 ? `${count(totals.spooled)} spooled + ` : ''}` +
      `${count(totals.lost_at_end)} lost at exit; ` +
      `unexplained ${count(totals.unexplained)}`,
  );
  return lines.map((line) => (line === '' ? '\n' : `  ${line}\n`)).join('');
}

function bootTable(boots: readonly BootAccount[], width: number): string[] {
  const column = (head: string, spare: number, cell: (boot: BootAccount) => string) => ({
    head,
    spare,
    cells: boots.map(cell),
  });
  return renderTable(
    [
      column('proxy', 0, (boot) => boot.proxy),
      column('boot', 6, (boot) => boot.boot_id.slice(0, 8)),
      column('state', 3, (boot) => STATE_TEXT[boot.state]),
      column('finished', 0, (boot) => count(boot.finished)),
      column('stored', 0, (boot) => count(boot.stored)),
      column('doubled', 5, (boot) => count(boot.rows_doubled)),
      column('dropped', 0, (boot) => count(boot.dropped_total)),
      column('in flight', 2, (boot) => count(boot.in_flight)),
      column('lost at exit', 1, (boot) => count(boot.lost_at_end)),
      column('unexplained', 0, (boot) => count(boot.unexplained)),
    ],
    width,
  );
}

function remarksOn(boot: BootAccount): string[] {
  const name = `${boot.proxy} (${boot.boot_id.slice(0, 8)})`;
  const lines: string[] = [];
  const reasons = Object.entries(boot.dropped).map(([reason, hops]) => `${reason} ${count(hops)}`);
  if (reasons.length > 0) lines.push(`${name} dropped: ${reasons.join(', ')}`);
  if (boot.spooled > 0) {
    lines.push(
      `${name} has ${count(boot.spooled)} hops spooled on disk: it, or the next process of its name, delivers them`,
    );
  }
  if (boot.dropped_but_stored > 0) {
    lines.push(
      `${name} reported ${count(boot.dropped_but_stored)} dropped that were stored all the same`,
    );
  }
  if (boot.ended !== undefined) {
    const { after, before } = boot.ended;
    lines.push(
      `${name} ended without a closing ledger between ${after} and ${before}: of the hops it had counted by then ` +
        `at most ${count(boot.lost_at_end + boot.in_flight)} are lost; those it finished in between are unknown`,
    );
  } else if (boot.state === 'ended_without_closing_ledger') {
    lines.push(
      `${name} ended without a closing ledger after ${boot.last_ledger ?? '?'}; ` +
        `seen up to number ${count(boot.last_seq)}, what came after is unknown`,
    );
  }
  if (boot.unexplained + boot.lost_at_end > 0 && boot.gaps.length > 0) {
    const shown = boot.gaps
      .slice(0, 5)
      .map(({ from_seq, to_seq }) =>
        from_seq === to_seq ? `${from_seq}` : `${from_seq}-${to_seq}`,
      );
    const more = boot.gaps.length > 5 ? ', …' : '';
    lines.push(`${name} numbers not stored: ${shown.join(', ')}${more}`);
  }
  if (boot.twins > 0) {
    lines.push(
      `ALARM: ${name} has ${count(boot.twins)} sequence numbers that stand for two hops each`,
    );
  }
  return lines;
}

function edgeTable(edges: readonly EdgeAccount[], width: number): string[] {
  const numbers = (head: string, spare: number, pick: (edge: EdgeAccount) => number) => ({
    head,
    spare,
    cells: edges.map((edge) => count(pick(edge))),
  });
  return renderTable(
    [
      {
        head: 'edges that do not match',
        spare: 0,
        cells: edges.map((edge) => `${edge.caller} → ${edge.target}`),
      },
      numbers('exits', 1, (edge) => edge.exits),
      numbers('entries', 1, (edge) => edge.entries),
      numbers('exits without entry', 0, (edge) => edge.exits_unmatched),
      numbers('entries without exit', 0, (edge) => edge.entries_unmatched),
    ],
    width,
  );
}
