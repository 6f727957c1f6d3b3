/**
 * The SQL of the dashboard `Pipeline`: does telemetry arrive, how fast, and what is lost. All of it
 * from the store: what proxies say of themselves (ledgers, counted from a process's start) and what
 * the collector stored. Rows that were stored twice count once, except where they are the question.
 */
import { LEDGER_INTERVAL_MS } from '../../telemetry/ledger.ts';

/**
 * Per process boot, what it counted within the window: the newest ledger in it less the newest
 * before it. Ledgers carry totals, so that one that is missing changes nothing.
 */
const OF_BOOTS = `of_boots AS
(
    SELECT
        BootId,
        any(Proxy) AS proxy,
        maxIf(HopsFinished, inside) - maxIf(HopsFinished, before) AS finished,
        argMaxIf(HopsFinished - least(HopsFinished, Emitted + arraySum(mapValues(Dropped)) + Spooled), Timestamp, inside) AS queued,
        argMaxIf(Spooled, Timestamp, inside) AS spooled,
        argMaxIf(Dropped, Timestamp, inside) AS dropped_now,
        argMaxIf(Dropped, Timestamp, before) AS dropped_before,
        max(Timestamp) AS last_ledger,
        argMax(Closing, Timestamp) AS closing
    FROM
    (
        SELECT *, $__timeFilter(Timestamp) AS inside, Timestamp < $__fromTime AS before
        FROM ledgers
        WHERE Timestamp <= $__toTime
    )
    GROUP BY BootId
    HAVING countIf(inside) > 0
)`;

/** One row per boot and reason of what was dropped within the window. */
const DROPPED = `${OF_BOOTS}, dropped AS
(
    SELECT
        proxy,
        BootId,
        reason,
        dropped_now[reason] - least(dropped_now[reason], dropped_before[reason]) AS hops
    FROM of_boots
    ARRAY JOIN mapKeys(dropped_now) AS reason
)`;

/** A boot whose newest ledger is older than this has ended: three were missed. */
const ENDED_AFTER_S = (3 * LEDGER_INTERVAL_MS) / 1000;

export const PIPELINE_SQL = {
  finished: `WITH ${OF_BOOTS}
SELECT sum(finished) AS "finished" FROM of_boots`,

  stored: `SELECT uniqExact(TraceId, SpanId) AS "stored" FROM spans
WHERE HopVersion + MirrorVersion > 0 AND $__timeFilter(IngestedAt)`,

  doubled: `SELECT count() - uniqExact(TraceId, SpanId) AS "doubled" FROM spans
WHERE HopVersion + MirrorVersion > 0 AND $__timeFilter(IngestedAt)`,

  droppedTotal: `WITH ${DROPPED}
SELECT sum(hops) AS "dropped" FROM dropped`,

  queued: `WITH ${OF_BOOTS}
SELECT sumIf(queued + spooled, NOT closing) AS "queued" FROM of_boots`,

  deadLetters: `SELECT count() AS "dead letters" FROM dead_letters WHERE $__timeFilter(At)`,

  storedPerSecond: `SELECT
    $__timeInterval(IngestedAt) AS time,
    uniqExact(TraceId, SpanId) / $__interval_s AS "stored",
    (count() - uniqExact(TraceId, SpanId)) / $__interval_s AS "doubled"
FROM spans
WHERE HopVersion + MirrorVersion > 0 AND $__timeFilter(IngestedAt)
GROUP BY time
ORDER BY time`,

  untilStored: `SELECT
    $__timeInterval(IngestedAt) AS time,
    quantile(0.5)(delay_s) AS "p50 until stored",
    quantile(0.99)(delay_s) AS "p99 until stored"
FROM
(
    SELECT
        IngestedAt,
        greatest(0, toUnixTimestamp(IngestedAt) - (toUnixTimestamp64Nano(Timestamp) + Duration) / 1e9) AS delay_s
    FROM spans
    WHERE HopVersion + MirrorVersion > 0 AND $__timeFilter(IngestedAt)
)
GROUP BY time
ORDER BY time`,

  waiting: `SELECT time, sum(queued_one) AS "queued", sum(spooled_one) AS "spooled"
FROM
(
    SELECT
        $__timeInterval(Timestamp) AS time,
        BootId,
        argMax(HopsFinished - least(HopsFinished, Emitted + arraySum(mapValues(Dropped)) + Spooled), Timestamp) AS queued_one,
        argMax(Spooled, Timestamp) AS spooled_one
    FROM ledgers
    WHERE $__timeFilter(Timestamp)
    GROUP BY time, BootId
)
GROUP BY time
ORDER BY time`,

  lostOverTime: `SELECT time, sum(dropped_one) AS "dropped", sum(dead_one) AS "dead letters"
FROM
(
    SELECT time, toUInt64(total - least(total, lagInFrame(total, 1, toUInt64(0)) OVER (PARTITION BY BootId ORDER BY time))) AS dropped_one, toUInt64(0) AS dead_one
    FROM
    (
        SELECT $__timeInterval(Timestamp) AS time, BootId, max(arraySum(mapValues(Dropped))) AS total
        FROM ledgers
        WHERE $__timeFilter(Timestamp)
        GROUP BY time, BootId
    )
    UNION ALL
    SELECT $__timeInterval(At) AS time, toUInt64(0) AS dropped_one, count() AS dead_one
    FROM dead_letters
    WHERE $__timeFilter(At)
    GROUP BY time
)
GROUP BY time
ORDER BY time`,

  droppedByReason: `WITH ${DROPPED}
SELECT proxy, reason, sum(hops) AS hops
FROM dropped
GROUP BY proxy, reason
HAVING hops > 0
ORDER BY hops DESC, proxy, reason
LIMIT 100`,

  deadByReason: `SELECT
    toString(Source) AS source,
    toString(Reason) AS reason,
    count() AS letters,
    sum(Items) AS items,
    max(At) AS last
FROM dead_letters
WHERE $__timeFilter(At)
GROUP BY source, reason
ORDER BY letters DESC, source, reason
LIMIT 100`,

  processes: `WITH ${OF_BOOTS}
SELECT
    proxy,
    BootId AS boot,
    multiIf(
        closing, 'closed',
        toUnixTimestamp($__toTime) - toUnixTimestamp(last_ledger) > ${ENDED_AFTER_S}, 'no closing ledger',
        'running') AS state,
    last_ledger AS "last ledger",
    finished,
    queued,
    spooled
FROM of_boots
ORDER BY state = 'closed', proxy, last_ledger DESC
LIMIT 200`,
} as const;
