-- Minutes of a window that are to be split anew: more rows than their newest build was
-- made of, or, when asked for, all of those whose rows are still there.
SELECT
    toUnixTimestamp(stored.minute) AS minute,
    stored.n AS rows,
    published.made_of AS rows_built,
    toString(published.newest) AS build
FROM
(
    SELECT toStartOfMinute(Timestamp) AS minute, count() AS n
    FROM spans
    WHERE Timestamp >= fromUnixTimestamp64Milli({from_ms:Int64})
        AND Timestamp < fromUnixTimestamp64Milli({to_ms:Int64})
    GROUP BY minute
) AS stored
LEFT JOIN
(
    SELECT Minute AS minute, argMax(Rows, Build) AS made_of, max(Build) AS newest
    FROM attribution_builds
    WHERE Minute >= fromUnixTimestamp64Milli({from_ms:Int64})
        AND Minute < fromUnixTimestamp64Milli({to_ms:Int64})
    GROUP BY Minute
) AS published ON published.minute = stored.minute
WHERE rows > rows_built OR ({again:UInt8} = 1 AND rows = rows_built)
ORDER BY minute
