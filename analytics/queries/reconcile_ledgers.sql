-- The ledgers that decide about each boot that was alive in the window:
--   last     the first at or after the window's end, else the newest
--   settled  the newest up to `last` that is old enough for all it counts to have arrived
--   base     the newest before the window
--   oldest   the newest before the oldest rows that are still sure to be kept
--   first    the first, which tells about when the process began
--   ended    a successor's statement about a process that was killed: its last counters
WITH boots AS
(
    SELECT BootId FROM ledgers
    WHERE Timestamp >= fromUnixTimestamp64Milli({from_ms:Int64})
        AND Timestamp < fromUnixTimestamp64Milli({to_ms:Int64})
    UNION DISTINCT
    SELECT BootId FROM spans
    WHERE HopVersion + MirrorVersion > 0
        AND Timestamp >= fromUnixTimestamp64Milli({from_ms:Int64})
        AND Timestamp < fromUnixTimestamp64Milli({to_ms:Int64})
),
picks AS
(
    SELECT
        BootId,
        if(countIf(Timestamp >= fromUnixTimestamp64Milli({to_ms:Int64})) > 0,
            minIf(Timestamp, Timestamp >= fromUnixTimestamp64Milli({to_ms:Int64})),
            max(Timestamp)) AS last,
        maxIf(Timestamp, Timestamp < fromUnixTimestamp64Milli({settled_ms:Int64})) AS settled,
        maxIf(Timestamp, Timestamp < fromUnixTimestamp64Milli({from_ms:Int64})) AS base,
        maxIf(Timestamp, Timestamp < fromUnixTimestamp64Milli({oldest_ms:Int64})) AS oldest,
        min(Timestamp) AS first,
        max(Timestamp) AS newest,
        maxIf(Timestamp, toUnixTimestamp64Milli(EndedBy) > 0) AS ended,
        minIf(toUnixTimestamp64Milli(EndedBy), toUnixTimestamp64Milli(EndedBy) > 0) AS ended_by_ms
    FROM ledgers
    WHERE BootId IN boots
    GROUP BY BootId
)
SELECT
    ledgers.BootId AS boot_id,
    Proxy AS proxy,
    toString(Role) AS role,
    toUnixTimestamp64Milli(Timestamp) AS at_ms,
    toUnixTimestamp64Milli(picks.newest) AS newest_ms,
    Timestamp = picks.last AS is_last,
    Timestamp = least(picks.settled, picks.last) AS is_settled,
    Timestamp = picks.base AS is_base,
    Timestamp = picks.oldest AS is_oldest,
    Timestamp = picks.first AS is_first,
    Timestamp = picks.ended AND toUnixTimestamp64Milli(EndedBy) > 0 AS is_ended,
    if(is_ended, picks.ended_by_ms, 0) AS ended_by_ms,
    LastSeq AS last_seq,
    HopsFinished AS finished,
    Emitted AS emitted,
    arrayZip(mapKeys(Dropped), mapValues(Dropped)) AS dropped,
    Spooled AS spooled,
    Closing AS closing
FROM
(
    -- By the instant first: a month holds millions of ledgers, of which a few are looked at.
    SELECT * FROM ledgers
    WHERE Timestamp IN (SELECT arrayJoin([last, settled, base, oldest, first, newest, ended]) FROM picks)
) AS ledgers
INNER JOIN picks ON ledgers.BootId = picks.BootId
WHERE is_last OR is_settled OR is_base OR is_oldest OR is_first OR is_ended
ORDER BY proxy, boot_id, at_ms, is_ended DESC
LIMIT 1 BY boot_id, at_ms
