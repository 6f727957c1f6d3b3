-- How far the rollup job is: the newest published minute, and when a run first published it. All
-- rows stored before that run are in the builds, but for those still on their way in then.
SELECT
    toUnixTimestamp(Minute) AS watermark_s,
    toUnixTimestamp(min(BuiltAt)) AS scanned_s
FROM builds
GROUP BY Minute
ORDER BY Minute DESC
LIMIT 1
