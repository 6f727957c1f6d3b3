-- How far the attribution job is: the newest published minute, and when a run first published it.
SELECT
    toUnixTimestamp(Minute) AS watermark_s,
    toUnixTimestamp(min(BuiltAt)) AS scanned_s
FROM attribution_builds
GROUP BY Minute
ORDER BY Minute DESC
LIMIT 1
