-- Hours of a stretch of published minutes whose sums are missing, or of other builds of their minutes than
-- those of now. Not told by the greatest build alone: after a clock was set back a minute's newest may be
-- smaller than another's. Column MinuteBuild keeps the state, which once was that greatest build.
SELECT
    toUnixTimestamp(hour) AS start,
    toString(now) AS state,
    toString(greatest(newest, own)) AS newest_build
FROM
(
    SELECT hour, max(build) AS newest, groupBitXor(cityHash64(minute, build)) AS now
    FROM
    (
        SELECT toStartOfHour(Minute) AS hour, Minute AS minute, max(Build) AS build
        FROM builds
        WHERE Minute >= fromUnixTimestamp64Milli({from_ms:Int64})
            AND Minute < fromUnixTimestamp64Milli({to_ms:Int64})
        GROUP BY Minute
    )
    GROUP BY hour
) AS minutes
LEFT JOIN
(
    SELECT Hour AS hour, max(Build) AS own, argMax(MinuteBuild, Build) AS built
    FROM hour_builds
    WHERE Hour >= fromUnixTimestamp64Milli({from_ms:Int64})
        AND Hour < fromUnixTimestamp64Milli({to_ms:Int64})
    GROUP BY Hour
) AS hours USING (hour)
WHERE built != now
ORDER BY hour
