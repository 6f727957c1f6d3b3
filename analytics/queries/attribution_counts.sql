-- How many requests of the window were split, by why they are incomplete.
SELECT Incomplete AS incomplete, StreamClass != '' AS stream, count() AS traces, sum(toUInt64(Roots)) AS roots
FROM ({{attribution_window}})
GROUP BY incomplete, stream
