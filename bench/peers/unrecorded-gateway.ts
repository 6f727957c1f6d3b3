/**
 * Our gateway without its telemetry: nothing is written or exported, all else is the same. It exists
 * for the difference to the real one, which is what recording costs; no mesh file can ask for it.
 * Arguments: mesh file, name.
 */
import { loadMesh } from '../../mesh/load.ts';
import { proxyPart } from '../../mesh/parts.ts';
import { createProxy } from '../../proxy/process.ts';
import { Lifecycle, runUntilSignal } from '../../runtime/lifecycle.ts';
import { createLog } from '../../runtime/log.ts';
import { createOtlpHttpExporter } from '../../transport/otlp-http-exporter.ts';

const [file = '', name = ''] = process.argv.slice(2);
const part = proxyPart(loadMesh(file), name, 'gateway');
const log = createLog({ fields: { process: 'gateway', name } });
const exporter = createOtlpHttpExporter({ endpoint: part.telemetry.otlp.endpoint });
const proxy = createProxy({ part, exporter, log, unrecorded: true });
process.exitCode = await runUntilSignal(new Lifecycle(log).add(proxy), log);
