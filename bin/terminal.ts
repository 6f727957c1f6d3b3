/** Width and styles for where a report's text goes: a pipe gets 110 columns and no styles. */
export function terminalOf(
  out: { readonly isTTY?: boolean; readonly columns?: number },
  env: NodeJS.ProcessEnv,
): { width: number; color: boolean } {
  const noColor = env['NO_COLOR'] !== undefined && env['NO_COLOR'] !== '';
  return { width: out.columns || 110, color: out.isTTY === true && !noColor };
}
