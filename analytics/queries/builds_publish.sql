-- Publishes one build of the minutes named. `Rows` was counted before the build read the rows;
-- Uniques is what the build holds. A minute without hops is published too: it says how far the job is.
INSERT INTO builds
SELECT
    toDateTime(named.minute) AS Minute,
    {build:UInt64} AS Build,
    named.stored AS Rows,
    built.hops AS Uniques,
    toDateTime({built_at_s:UInt32}) AS BuiltAt
FROM
(
    SELECT tupleElement(pair, 1) AS minute, tupleElement(pair, 2) AS stored
    FROM (SELECT arrayJoin(arrayZip({minutes:Array(UInt32)}, {rows:Array(UInt64)})) AS pair)
) AS named
LEFT JOIN
(
    SELECT toUnixTimestamp(Minute) AS minute, sum(Hops) AS hops
    FROM traffic_1m
    WHERE Build = {build:UInt64} AND Minute IN (SELECT toDateTime(arrayJoin({minutes:Array(UInt32)})))
    GROUP BY Minute
) AS built ON named.minute = built.minute
