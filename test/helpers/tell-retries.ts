/** Says which tests passed only when they were run again (`mocha --retries`): each is a fault to find. */
export const mochaHooks = {
  afterEach(this: Mocha.Context): void {
    const test = this.currentTest as (Mocha.Test & { currentRetry(): number }) | undefined;
    if (test === undefined || test.currentRetry() === 0) return;
    console.log(
      `RUN AGAIN (${test.state ?? 'unknown'}): ${test.fullTitle()} in ${test.file ?? '?'}`,
    );
  },
};
