/**
 * `azimuth ca`: a development authority for a mesh. `issue` makes it and short-lived certificates for
 * every proxy of a mesh file, and renews them when it is run again; `show` says what a folder holds.
 */
import { X509Certificate } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { believed, issueMesh, planIssue } from '../../mesh/issue.ts';
import { AzimuthError, messageOf } from '../../runtime/errors.ts';
import type { Command } from '../command.ts';
import { meshFromArgs } from '../mesh-option.ts';

/** A day: renewal must be a habit, and a stolen key must be of little use. */
const HOURS = 24;
/** Twice what a running proxy takes at most to find a changed file by itself. */
const SETTLE_MS = 10_000;

export const command: Command = {
  help: `
azimuth ca: certificates by which the proxies of a mesh know each other (development, not production)

Usage: azimuth ca issue [FILE] [--mesh FILE] [--dir DIR] [--authority DIR]
                        [--hours N] [--new-ca] [--drop-old] [--no-wait] [--check]
       azimuth ca show DIR

issue makes an authority, and one certificate for each workload or gateway that each proxy of the
mesh file speaks for. Run again, it renews them; proxies that run take them without a restart.

  --dir DIR     folder to write to (default: identity.dir of the mesh file)
  --authority DIR
                folder of ca.pem and ca.key (default: that of --dir); the key can make anybody of
                the mesh: keep it where the proxies are not
  --hours N     how long the certificates are valid, 1 to 8760 (default ${HOURS})
  --new-ca      make a new authority; the proxies believe the old ones too until --drop-old
  --drop-old    believe the current authority only: what older ones signed is refused
  --no-wait     with --new-ca: do not leave running proxies ${SETTLE_MS / 1000} s to learn of the new authority
  --check       say what would be issued, write nothing

show lists what DIR holds and for how long; it exits with 1 when something in it cannot be used.

Examples:
  azimuth ca issue mesh.yaml --dir certs
  azimuth ca issue mesh.yaml --dir certs --hours 1
  azimuth ca show certs
`,
  async run(args) {
    const { values, positionals } = parseArgs({
      args: [...args],
      options: {
        mesh: { type: 'string' },
        dir: { type: 'string' },
        authority: { type: 'string' },
        hours: { type: 'string', default: String(HOURS) },
        'new-ca': { type: 'boolean', default: false },
        'drop-old': { type: 'boolean', default: false },
        'no-wait': { type: 'boolean', default: false },
        check: { type: 'boolean', default: false },
      },
      allowPositionals: true,
    });
    const [what, operand, ...more] = positionals;
    if (more.length > 0) throw new AzimuthError('AZ_USAGE', `what is "${more[0]}" for?`);
    if (what === 'show') return show(operand ?? values.dir);
    if (what !== 'issue') {
      throw new AzimuthError('AZ_USAGE', 'say what: azimuth ca issue FILE, or azimuth ca show DIR');
    }
    const mesh = meshFromArgs({ mesh: operand ?? values.mesh });
    const hours = hoursOf(values.hours);
    if (values.check) {
      const { dir, identities } = planIssue(mesh, values.dir);
      process.stdout.write(
        `ok: ca ${identities.length} certificates for ${hours} hours in ${dir}\n`,
      );
      return 0;
    }
    const issued = await issueMesh(mesh, {
      dir: values.dir,
      authorityDir: values.authority,
      hours,
      newAuthority: values['new-ca'],
      dropOld: values['drop-old'],
      settled: async () => {
        if (values['no-wait']) return;
        process.stderr.write(`waiting ${SETTLE_MS / 1000} s for proxies to learn of the new CA\n`);
        await sleep(SETTLE_MS);
      },
    });
    const { certificates, dir, notAfter, newAuthority, authorities } = issued;
    const width = Math.max(...certificates.map(({ proxy }) => proxy.length));
    const lines = certificates.map(({ proxy, id }) => `  ${proxy.padEnd(width)}  ${id}\n`);
    process.stdout.write(
      `${lines.join('')}${certificates.length} certificates in ${dir}, valid until ${notAfter.toISOString()}; ` +
        `${newAuthority ? 'new authority' : 'authority as before'}, ${authorities} believed\n`,
    );
    return 0;
  },
};

function hoursOf(text: string): number {
  const hours = Number(text);
  if (/^[0-9]+$/.test(text) && hours >= 1 && hours <= 8_760) return hours;
  throw new AzimuthError('AZ_USAGE', `--hours takes a number from 1 to 8760, not "${text}"`);
}

/** Prints each certificate of a folder; resolves with 1 when one cannot be used. */
function show(dir: string | undefined): number {
  if (dir === undefined) throw new AzimuthError('AZ_USAGE', 'azimuth ca show needs a folder');
  let files: string[];
  try {
    files = readdirSync(dir, { recursive: true, encoding: 'utf8' })
      .filter((file) => file.endsWith('.pem') && !file.endsWith('bundle.pem'))
      .sort();
  } catch (error) {
    throw new AzimuthError('AZ_USAGE', `${dir} cannot be read: ${messageOf(error)}`);
  }
  if (files.length === 0) {
    throw new AzimuthError('AZ_USAGE', `${dir} holds no certificate (azimuth ca issue makes some)`);
  }
  const authorities = believed(join(dir, 'bundle.pem')).map((pem) => new X509Certificate(pem));
  const rows = files.map((file) => rowOf(join(dir, file), file, authorities));
  const widths = [0, 1, 2].map((column) => Math.max(...rows.map((row) => row[column]!.length)));
  const lines = rows.map((row) =>
    row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  '),
  );
  process.stdout.write(`${lines.join('\n')}\n`);
  return rows.every(([, , , state]) => state === 'ok') ? 0 : 1;
}

function rowOf(
  path: string,
  name: string,
  authorities: readonly X509Certificate[],
): [file: string, id: string, until: string, state: string] {
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(readFileSync(path));
  } catch {
    return [name, '', '', 'no certificate in PEM form'];
  }
  const { subjectAltName, validToDate, validFromDate } = certificate;
  const id = (subjectAltName ?? '').replace(/^URI:/, '');
  const nowMs = Date.now();
  let state = 'ok';
  if (validToDate.getTime() <= nowMs) state = 'is over';
  else if (validFromDate.getTime() > nowMs) state = 'is not valid yet';
  else if (!authorities.some((authority) => certificate.verify(authority.publicKey))) {
    state = 'is of no authority in bundle.pem';
  }
  return [name, id, `until ${validToDate.toISOString()}`, state];
}
