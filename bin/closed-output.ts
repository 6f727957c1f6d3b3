/**
 * Output into a pipe whose reader has seen enough, as in `azimuth sql … | head`: what is still written
 * is for nobody. That is no fault, so the command does the rest of its work and ends as it would have.
 */
export function allowClosedOutput(stdout: NodeJS.WritableStream): void {
  stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
  });
}
