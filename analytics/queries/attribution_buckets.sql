-- Complete requests of the window by bucket of their effective duration.
SELECT bucket, count() AS traces
FROM ({{attribution_window}})
WHERE Incomplete = 0 AND StreamClass = ''
GROUP BY bucket
