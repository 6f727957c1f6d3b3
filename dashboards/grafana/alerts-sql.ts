/**
 * The SQL of the alert rules: each answers with one number a row, and with texts that tell the rows
 * apart (labels of the alert). It looks at the minutes before now by the store's own clock.
 *
 * Must hold no dollar sign: Grafana may read one in a provisioned file as an environment variable, so
 * neither macros nor variables of dashboards may stand here.
 */
import { IS_ERROR, IS_REQUEST, QUANTILE_MS } from './traffic-sql.ts';

/** Fewer hops than this in five minutes say nothing about a share or a p99. */
const HOPS_MIN = 20;

/** The newest five minutes that are published, if they are no older than a quarter of an hour. */
const RECENT = `traffic_1m
WHERE Minute >= now() - INTERVAL 15 MINUTE
    AND Minute > (SELECT max(Minute) FROM builds) - INTERVAL 5 MINUTE
    AND (Minute, Build) IN (SELECT Minute, max(Build) FROM builds WHERE Minute >= now() - INTERVAL 15 MINUTE GROUP BY Minute)`;

/** p99 of own time by service, milliseconds. */
const ownTime = (role: string): string => `WITH
    ${QUANTILE_MS}
SELECT toString(ServiceName) AS service, quantile_ms(sumMap(Own), 0.99) AS "own p99"
FROM ${RECENT}
    AND Role = '${role}'
GROUP BY service
HAVING sum(Hops) >= ${HOPS_MIN} AND notEmpty(sumMap(Own))
ORDER BY service`;

export const ALERT_SQL = {
  errorRate: `SELECT if(sum(Hops) < ${HOPS_MIN}, 0, sumIf(Hops, ${IS_ERROR}) / sum(Hops)) AS "failed"
FROM ${RECENT}
    AND ${IS_REQUEST}`,

  gatewayOwnTime: ownTime('gateway'),

  meshOwnTime: ownTime('sidecar'),

  lag: `SELECT quantile(0.99)(greatest(0, toUnixTimestamp(IngestedAt) - (toUnixTimestamp64Nano(Timestamp) + Duration) / 1e9)) AS "until stored"
FROM spans
WHERE HopVersion + MirrorVersion > 0 AND IngestedAt >= now() - INTERVAL 5 MINUTE
HAVING count() > 0`,

  /**
   * Per process, between its oldest ledger of the last 20 minutes and its newest that is 3 minutes old:
   * sequence numbers given out, less those stored, dead-lettered, dropped or still waiting. What it
   * cannot tell it leaves out, so it may be late; reconciliation is the judge.
   */
  unexplained: `WITH
    picks AS
    (
        SELECT
            BootId,
            any(Proxy) AS proxy,
            argMin(LastSeq, Timestamp) AS from_seq,
            argMaxIf(LastSeq, Timestamp, Timestamp < now() - INTERVAL 3 MINUTE) AS to_seq,
            argMax(arraySum(mapValues(Dropped)), Timestamp) - argMin(arraySum(mapValues(Dropped)), Timestamp) AS dropped,
            argMax(HopsFinished - least(HopsFinished, Emitted + arraySum(mapValues(Dropped))), Timestamp) AS waiting
        FROM ledgers
        WHERE Timestamp >= now() - INTERVAL 20 MINUTE AND toUnixTimestamp64Milli(EndedBy) = 0
        GROUP BY BootId
        HAVING to_seq > from_seq
    ),
    arrived AS
    (
        SELECT BootId, uniqExact(Seq) AS hops
        FROM
        (
            SELECT BootId, Seq FROM spans
            WHERE HopVersion + MirrorVersion > 0 AND IngestedAt >= now() - INTERVAL 30 MINUTE
            UNION ALL
            SELECT arrayJoin(arrayZip(BootIds, Seqs)).1 AS BootId, arrayJoin(arrayZip(BootIds, Seqs)).2 AS Seq
            FROM dead_letters
            WHERE At >= now() - INTERVAL 30 MINUTE
        ) AS seen
        INNER JOIN picks USING (BootId)
        WHERE Seq > from_seq AND Seq <= to_seq
        GROUP BY BootId
    )
SELECT proxy, sum(greatest(0, toInt64(to_seq - from_seq) - toInt64(hops) - toInt64(dropped) - toInt64(waiting))) AS "unexplained"
FROM picks
LEFT JOIN arrived USING (BootId)
GROUP BY proxy
ORDER BY proxy`,

  deadLetters: `SELECT toString(Reason) AS reason, count() AS "dead letters"
FROM dead_letters
WHERE At >= now() - INTERVAL 10 MINUTE
GROUP BY reason
ORDER BY reason`,

  /** Every process states itself every five seconds, also when there is no traffic. */
  noData: `SELECT if(count() = 0, 3600, dateDiff('second', max(IngestedAt), now())) AS "silent for"
FROM ledgers
WHERE IngestedAt >= now() - INTERVAL 1 HOUR`,

  /** A minute is published half a minute after its end, with hops or without. */
  analyticsBehind: `SELECT if(count() = 0, 3600, dateDiff('second', max(Minute) + 60, now())) AS "behind"
FROM builds
WHERE Minute >= now() - INTERVAL 1 HOUR`,
} as const;
