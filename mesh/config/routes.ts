/**
 * What a route may say, whoever has it: which requests it is about, and how long an answer may take.
 * Timeouts and retries beside it stand in resilience.ts, functions in functions.ts.
 */
import { z } from 'zod';
import { milliseconds } from '../resilience.ts';
import { parseTemplate } from '../route-template.ts';
import { text } from './values.ts';

const template = z.string().superRefine((value, context) => {
  const parsed = parseTemplate(value);
  if (!parsed.ok) context.addIssue({ code: 'custom', message: parsed.fault });
});

const methods = z
  .array(
    z
      .string()
      .regex(/^[A-Z][A-Z0-9_-]*$/, 'is not an HTTP method (write it in capitals, as "GET")'),
  )
  // Empty: a route is about a path first; most services name no methods.
  .default([])
  .describe('Methods in capitals; empty: any.');

// 15 s: Envoy's route timeout, which users of a mesh expect.
export const responseTimeoutMs = milliseconds(1, 3_600_000)
  .default(15_000)
  .describe('Milliseconds from the end of the request to the first byte of the response.');

// None: as with Envoy, an upgrade is off until a route allows it. A tunnel is past all rules of HTTP.
export const upgrades = z
  .array(
    z
      .string()
      .regex(/^[a-z0-9!#$%&'*+.^_`|~-]+$/, 'is not a protocol (lower case, as "websocket")')
      .refine(
        (protocol) => !/^(h2c|http|tls)$/.test(protocol),
        'cannot be upgraded to (requests inside would pass by the routes)',
      ),
  )
  .default([])
  .describe('Protocols that a connection may be upgraded to, such as websocket; empty: none.');

/** What stands in front of the value of a header or query parameter, which must be equal. */
const fieldMatch = (fieldName: z.ZodString) => z.strictObject({ name: fieldName, value: text });

export const match = {
  path: template,
  methods,
  // Empty: a route is about host and path first.
  headers: z
    .array(
      fieldMatch(
        z
          .string()
          .regex(/^[a-z0-9!#$%&'*+.^_`|~-]+$/, 'is not a header name (write it in lower case)'),
      ),
    )
    .default([])
    .describe('Headers that must all be there with exactly this value; empty: any.'),
  query: z
    .array(fieldMatch(text))
    .default([])
    .describe('Query parameters that must all be there with exactly this value; empty: any.'),
};
