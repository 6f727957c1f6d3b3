-- Days of a stretch of published hours whose sums are missing or older than one of their hours, with the
-- greatest build of their hours.
SELECT toUnixTimestamp(day) AS start, toString(newest) AS newest_build
FROM
(
    SELECT toStartOfDay(Hour, 'UTC') AS day, max(Build) AS newest
    FROM hour_builds
    WHERE Hour >= fromUnixTimestamp64Milli({from_ms:Int64})
        AND Hour < fromUnixTimestamp64Milli({to_ms:Int64})
    GROUP BY day
) AS hours
LEFT JOIN
(
    SELECT Day AS day, argMax(HourBuild, Build) AS built
    FROM day_builds
    WHERE Day >= fromUnixTimestamp64Milli({from_ms:Int64})
        AND Day < fromUnixTimestamp64Milli({to_ms:Int64})
    GROUP BY Day
) AS days USING (day)
WHERE built < newest
ORDER BY day
