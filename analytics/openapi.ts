/**
 * The HTTP API's own description (OpenAPI 3.1), made from the catalogue of reports: a report that is
 * added there is served and described without a word more. Pure; docs/openapi.json is its copy.
 */
import { PERSPECTIVES } from '../telemetry/edge-class.ts';
import { VERSION } from '../runtime/version.ts';
import { LIVE_WINDOWS } from './live/feed.ts';
import { FORMATS, REPORT_OPTIONS, REPORTS, type Report, type ReportOption } from './reports/catalogue.ts'; // prettier-ignore

const schemaOf = (option: ReportOption): object => {
  switch (option) {
    case 'perspective':
      return { type: 'string', enum: PERSPECTIVES, default: 'split' };
    case 'generation':
    case 'base_generation':
      return { type: 'integer', minimum: 1 };
    case 'base_from':
    case 'base_to':
      return { type: 'string', format: 'date-time' };
    case 'route':
    case 'service':
    case 'topology':
    case 'base_topology':
      return { type: 'string' };
  }
};

const parameter = (name: string): object => ({ $ref: `#/components/parameters/${name}` });

const PARAMETERS = {
  last: {
    name: 'last',
    in: 'query',
    description: 'A window that ends now, such as 30s, 5m, 1h30m, 2d. Not together with from.',
    schema: { type: 'string', default: '5m', pattern: '^(\\d+(\\.\\d+)?[smhd])+$' },
  },
  from: {
    name: 'from',
    in: 'query',
    description: 'Start of the window, included; UTC where no zone stands.',
    schema: { type: 'string', format: 'date-time' },
  },
  to: {
    name: 'to',
    in: 'query',
    description: 'End of the window, excluded; default now.',
    schema: { type: 'string', format: 'date-time' },
  },
  format: {
    name: 'format',
    in: 'query',
    description: 'Form of the answer; html is one page that needs nothing but itself.',
    schema: { type: 'string', enum: Object.keys(FORMATS), default: 'json' },
  },
  ...Object.fromEntries(
    (Object.keys(REPORT_OPTIONS) as ReportOption[]).map((option) => [
      option,
      {
        name: option,
        in: 'query',
        description: `${REPORT_OPTIONS[option]}.`,
        schema: schemaOf(option),
      },
    ]),
  ),
};

const ERRORS = {
  '400': { $ref: '#/components/responses/usage' },
  '503': { $ref: '#/components/responses/store_away' },
};

const pathOf = (report: Report): object => ({
  get: {
    operationId: report.name,
    summary: report.summary,
    parameters: ['last', 'from', 'to', ...report.options, 'format'].map(parameter),
    responses: {
      '200': {
        description: 'The figures, with the window, and until when they may still change.',
        content: {
          'application/json': {
            schema: {
              allOf: [
                { $ref: '#/components/schemas/report' },
                { properties: { report: { const: report.name } }, required: report.keys },
              ],
            },
          },
          'text/csv': { schema: { type: 'string' } },
          'text/html': { schema: { type: 'string' } },
        },
      },
      ...ERRORS,
    },
  },
});

/** The document, ready for JSON. */
export function openApiDocument(): object {
  return {
    openapi: '3.1.0',
    info: {
      title: 'Azimuth analytics',
      version: VERSION,
      description:
        'Read-only. Every figure counts each hop once. A parameter that a path does not take is refused with 400 and its name.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    paths: {
      ...Object.fromEntries(REPORTS.map((report) => [`/api/${report.name}`, pathOf(report)])),
      '/api/traces/{trace}': {
        get: {
          operationId: 'explain',
          summary: 'One request as a waterfall: its hops, and segments that sum to its duration.',
          parameters: [
            {
              name: 'trace',
              in: 'path',
              required: true,
              schema: { type: 'string', pattern: '^[0-9a-f]{32}$' },
            },
          ],
          responses: {
            '200': {
              description: 'Hops, kinds and segments, milliseconds.',
              content: {
                'application/json': {
                  schema: {
                    type: 'object',
                    required: [
                      'trace_id',
                      'at',
                      'duration_ms',
                      'incomplete',
                      'hops',
                      'kinds',
                      'segments',
                    ],
                  },
                },
              },
            },
            ...ERRORS,
          },
        },
      },
      '/api/live': {
        get: {
          operationId: 'live',
          summary: 'Snapshots about once a second, as server-sent events `snapshot` and `trouble`.',
          parameters: [
            {
              name: 'last',
              in: 'query',
              schema: { type: 'string', enum: LIVE_WINDOWS, default: '5m' },
            },
          ],
          responses: {
            '200': {
              description: 'A stream that does not end.',
              content: { 'text/event-stream': { schema: { type: 'string' } } },
            },
            ...ERRORS,
          },
        },
      },
      '/openapi.json': {
        get: {
          operationId: 'openapi',
          summary: 'This document.',
          responses: {
            '200': {
              description: 'OpenAPI 3.1.',
              content: { 'application/json': { schema: { type: 'object' } } },
            },
          },
        },
      },
    },
    components: {
      parameters: PARAMETERS,
      schemas: {
        report: {
          type: 'object',
          required: ['report', 'from', 'to', 'final_until', 'provisional'],
          properties: {
            report: { type: 'string', description: 'Name of the report.' },
            from: { type: 'string', format: 'date-time' },
            to: { type: 'string', format: 'date-time' },
            final_until: {
              type: 'string',
              format: 'date-time',
              description: 'Up to here figures are final but for late rows, past it provisional.',
            },
            provisional: { type: 'boolean', description: 'Some of the window may still change.' },
            rows: { type: 'integer', description: 'Stored hops behind the figures, each once.' },
          },
        },
        error: {
          type: 'object',
          required: ['error'],
          properties: {
            error: { type: 'string' },
            code: { type: 'string', description: 'As in docs/ERRORS.md.' },
          },
        },
      },
      responses: {
        usage: {
          description: 'A parameter is unknown or has a value that cannot be; the text names it.',
          content: { 'application/json': { schema: { $ref: '#/components/schemas/error' } } },
        },
        store_away: {
          description: 'The store does not answer.',
          content: { 'application/json': { schema: { $ref: '#/components/schemas/error' } } },
        },
      },
    },
  };
}
