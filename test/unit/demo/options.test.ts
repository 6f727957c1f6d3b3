import assert from 'node:assert/strict';
import { parseOptions } from '../../../demo/options.ts';
import { AzimuthError } from '../../../runtime/errors.ts';

describe('options of the demo', () => {
  it('have defaults for a newcomer', () => {
    const options = parseOptions([]);
    assert.equal(options?.seconds, 30);
    assert.equal(options.transport, 'otlp');
    assert.equal(options.topology, 'separate');
    assert.equal(options.folder, '.azimuth/demo');
    assert.equal(options.json, false);
  });

  it('end the demo by itself where seconds are given, unless it is asked to stay', () => {
    assert.equal(parseOptions(['--seconds', '5'])?.keep, false);
    assert.equal(parseOptions(['--seconds', '5', '--keep'])?.keep, true);
  });

  it('refuse what makes no sense, naming it', () => {
    const bad: [string[], RegExp][] = [
      [['--seconds', '0'], /--seconds takes a number above 0, not "0"/],
      [['--rate', 'fast'], /--rate takes a number above 0, not "fast"/],
      [['--topology', 'ring'], /one of separate, attached, shared, merged, not "ring"/],
      [['--transport', 'udp'], /otlp or kafka, not "udp"/],
      [['--brokers', 'a:1'], /--brokers needs --transport kafka/],
      [['--transport', 'kafka', '--brokers', 'a'], /--brokers is a list/],
      [['--seconds', '5', '--kill-collector-at', '6'], /must be below --seconds/],
      [['--sconds', '5'], /Unknown option '--sconds'/],
    ];
    for (const [args, message] of bad) {
      assert.throws(
        () => parseOptions(args),
        (error) =>
          error instanceof AzimuthError && error.code === 'AZ_USAGE' && message.test(error.message),
        args.join(' '),
      );
    }
  });
});
