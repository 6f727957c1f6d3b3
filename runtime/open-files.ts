/**
 * How many files, sockets included, the system lets this process open. Node raises its soft limit
 * to the hard one when it starts, so what is found here is all there is without other rights.
 */

let found: number | undefined;

/** The limit; Infinity where there is none or none is told. Asks the system once. */
export const openFilesMax = (): number => (found ??= find());

function find(): number {
  const writer = process.report as
    (NodeJS.ProcessReport & { excludeNetwork?: boolean }) | undefined;
  if (writer === undefined) return Infinity;
  // Looks no names up in the network while it writes.
  writer.excludeNetwork = true;
  const report = writer.getReport() as {
    readonly userLimits?: { readonly open_files?: { readonly soft?: number | string } };
  };
  const soft = report.userLimits?.open_files?.soft;
  return typeof soft === 'number' ? soft : Infinity;
}
