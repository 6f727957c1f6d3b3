-- The newest stored hop, and how much was put aside; looks at the last ten minutes only.
SELECT
    toInt64(toUnixTimestamp64Milli(max(Timestamp))) AS newest_ms,
    (SELECT count() FROM dead_letters WHERE At >= now() - INTERVAL 10 MINUTE) AS dead_letters
FROM spans
WHERE HopVersion > 0 AND Timestamp >= now() - INTERVAL 10 MINUTE
