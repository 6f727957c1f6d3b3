-- Days of a stretch of published hours whose sums are missing, or of other builds of their hours than those
-- of now; as hours_stale.sql.
SELECT
    toUnixTimestamp(day) AS start,
    toString(now) AS state,
    toString(greatest(newest, own)) AS newest_build
FROM
(
    SELECT day, max(build) AS newest, groupBitXor(cityHash64(hour, build)) AS now
    FROM
    (
        SELECT toStartOfDay(Hour, 'UTC') AS day, Hour AS hour, max(Build) AS build
        FROM hour_builds
        WHERE Hour >= fromUnixTimestamp64Milli({from_ms:Int64})
            AND Hour < fromUnixTimestamp64Milli({to_ms:Int64})
        GROUP BY Hour
    )
    GROUP BY day
) AS hours
LEFT JOIN
(
    SELECT Day AS day, max(Build) AS own, argMax(HourBuilds, Build) AS built
    FROM day_builds
    WHERE Day >= fromUnixTimestamp64Milli({from_ms:Int64})
        AND Day < fromUnixTimestamp64Milli({to_ms:Int64})
    GROUP BY Day
) AS days USING (day)
WHERE built != now
ORDER BY day
