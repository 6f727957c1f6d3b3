-- Stored rows of the minutes named beside what their newest build was made of.
SELECT
    toUnixTimestamp(minute) AS minute,
    stored AS rows,
    built AS rows_built,
    toString(newest) AS build
FROM
(
    SELECT minute, sum(n) AS stored, max(b) AS built, max(v) AS newest
    FROM
    (
        SELECT toStartOfMinute(Timestamp) AS minute, count() AS n, toUInt64(0) AS b, toUInt64(0) AS v
        FROM spans
        WHERE HopVersion > 0
            AND Timestamp >= fromUnixTimestamp64Milli({from_ms:Int64})
            AND Timestamp < fromUnixTimestamp64Milli({to_ms:Int64})
            AND toStartOfMinute(Timestamp) IN (SELECT toDateTime(arrayJoin({minutes:Array(UInt32)})))
        GROUP BY minute
        UNION ALL
        SELECT Minute AS minute, toUInt64(0) AS n, argMax(Rows, Build) AS b, max(Build) AS v
        FROM builds
        WHERE Minute IN (SELECT toDateTime(arrayJoin({minutes:Array(UInt32)})))
        GROUP BY Minute
    )
    GROUP BY minute
)
ORDER BY minute
