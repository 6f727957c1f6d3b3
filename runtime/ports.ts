/**
 * Every default port in one place. 0 asks the kernel for a free one (tests).
 */
export const DEFAULT_PORTS = {
  /** Gateway's listener for the outside. */
  gateway: 8080,
  /** Sidecar, requests to the workload (Istio's number, so that readers recognise it). */
  inbound: 15006,
  /** Sidecar, the workload's own calls (Istio's number). */
  outbound: 15001,
  /** Admin API of a proxy. */
  admin: 15000,
  /** OTLP/HTTP receiver (OpenTelemetry's number). */
  otlpHttp: 4318,
  /** OTLP/gRPC receiver (OpenTelemetry's number). */
  otlpGrpc: 4317,
  /** ClickHouse's HTTP interface, also of the embedded store. */
  store: 8123,
  /** Analytics API and live page. */
  analytics: 8088,
  /** Health and metrics of the collector. */
  collectorAdmin: 13133,
  kafka: 9092,
} as const;
