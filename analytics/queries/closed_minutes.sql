-- Published minutes from a moment on: the newest build of each, and the hops that it holds.
SELECT
    toUnixTimestamp(Minute) AS minute,
    toString(max(Build)) AS build,
    argMax(Uniques, Build) AS hops
FROM builds
WHERE Minute >= fromUnixTimestamp64Milli({from_ms:Int64})
GROUP BY Minute
ORDER BY minute
