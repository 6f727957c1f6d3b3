import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { AzimuthError, ERRORS, messageOf, type ErrorCode } from '../../../runtime/errors.ts';

const codes = Object.keys(ERRORS) as ErrorCode[];

/** One `## CODE` section of docs/ERRORS.md: its facts line and its text. */
interface Documented {
  readonly facts: string;
  readonly text: string;
}

function documented(): Map<string, Documented> {
  const text = readFileSync(new URL('../../../docs/ERRORS.md', import.meta.url), 'utf8');
  const found = new Map<string, Documented>();
  for (const section of text.split(/^## /m).slice(1)) {
    const [heading = '', ...rest] = section.split('\n');
    if (!heading.startsWith('AZ_')) continue;
    const body = rest.join('\n').trim();
    found.set(heading.trim(), { facts: body.split('\n')[0] ?? '', text: body });
  }
  return found;
}

/** The facts line that docs/ERRORS.md must carry for a code. */
function factsOf(code: ErrorCode): string {
  const kind: { retryable: boolean; status?: number; exitCode?: number } = ERRORS[code];
  return [
    `Retry helps: ${kind.retryable ? 'yes' : 'no'}.`,
    `HTTP status: ${kind.status ?? 'none'}.`,
    `Exit code: ${kind.exitCode ?? 'none'}.`,
  ].join(' ');
}

describe('ERRORS', () => {
  it('is documented code by code, in the same order, and nothing else is', () => {
    assert.deepEqual([...documented().keys()], codes);
  });

  it('says the same in docs/ERRORS.md: retry, HTTP status, exit code', () => {
    const sections = documented();
    for (const code of codes) {
      assert.equal(sections.get(code)?.facts, factsOf(code), `docs/ERRORS.md, ${code}`);
    }
  });

  it('tells for each code what to do', () => {
    for (const [code, section] of documented()) {
      assert.match(section.text, /^What to do: \S.{20,}/m, `docs/ERRORS.md, ${code}`);
    }
  });

  it('has codes of one form and a full sentence each', () => {
    for (const code of codes) {
      assert.match(code, /^AZ_[A-Z]+(_[A-Z]+)*$/);
      assert.match(ERRORS[code].text, /^[A-Z].*\.$/, code);
    }
  });

  it('uses only HTTP statuses of errors and exit codes that sysexits names', () => {
    for (const code of codes) {
      const kind: { retryable: boolean; status?: number; exitCode?: number } = ERRORS[code];
      if (kind.status !== undefined) assert.ok(kind.status >= 400 && kind.status < 600, code);
      if (kind.exitCode !== undefined) assert.ok(kind.exitCode >= 64 && kind.exitCode <= 78, code);
    }
  });
});

describe('AzimuthError', () => {
  it('takes its text, kind and retryability from the table', () => {
    const error = new AzimuthError('AZ_STORE_UNAVAILABLE');
    assert.equal(error.code, 'AZ_STORE_UNAVAILABLE');
    assert.equal(error.name, 'AZ_STORE_UNAVAILABLE');
    assert.equal(error.message, ERRORS.AZ_STORE_UNAVAILABLE.text);
    assert.equal(error.retryable, true);
    assert.equal(error.kind, ERRORS.AZ_STORE_UNAVAILABLE);
    assert.equal(error.cause, undefined);
    assert.ok(!('cause' in error), 'no cause is not an undefined cause');
  });

  it('carries a detail, a cause and the seconds to wait', () => {
    const cause = new Error('ECONNREFUSED');
    const error = new AzimuthError('AZ_COLLECTOR_BUSY', 'full', { cause, retryAfterS: 3 });
    assert.equal(error.message, 'full');
    assert.equal(error.cause, cause);
    assert.equal(error.retryAfterS, 3);
  });
});

describe('messageOf', () => {
  it('reads whatever was thrown', () => {
    assert.equal(messageOf(new Error('a')), 'a');
    assert.equal(messageOf('b'), 'b');
    assert.equal(messageOf(undefined), 'undefined');
    assert.equal(messageOf({ toString: () => 'c' }), 'c');
  });
});
