-- The newest build of some minutes, and of how many rows it was made.
SELECT toUInt32(Minute) AS minute, argMax(Rows, Build) AS rows_built, toString(max(Build)) AS build
FROM attribution_builds
WHERE Minute IN (SELECT toDateTime(arrayJoin({minutes:Array(UInt32)})))
GROUP BY Minute
