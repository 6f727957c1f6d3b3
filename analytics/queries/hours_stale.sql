-- Hours of a stretch of published minutes whose sums are missing or older than one of their minutes,
-- with the greatest build of their minutes.
SELECT toUnixTimestamp(hour) AS start, toString(newest) AS newest_build
FROM
(
    SELECT toStartOfHour(Minute) AS hour, max(Build) AS newest
    FROM builds
    WHERE Minute >= fromUnixTimestamp64Milli({from_ms:Int64})
        AND Minute < fromUnixTimestamp64Milli({to_ms:Int64})
    GROUP BY hour
) AS minutes
LEFT JOIN
(
    SELECT Hour AS hour, argMax(MinuteBuild, Build) AS built
    FROM hour_builds
    WHERE Hour >= fromUnixTimestamp64Milli({from_ms:Int64})
        AND Hour < fromUnixTimestamp64Milli({to_ms:Int64})
    GROUP BY Hour
) AS hours USING (hour)
WHERE built < newest
ORDER BY hour
