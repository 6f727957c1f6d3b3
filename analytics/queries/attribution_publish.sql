-- Publishes one build of some minutes, with what it holds now.
INSERT INTO attribution_builds
SELECT
    toDateTime(minute) AS Minute,
    {build:UInt64} AS Build,
    rows AS Rows,
    traces AS Traces,
    incomplete AS Incomplete,
    toDateTime({built_at_s:UInt32}) AS BuiltAt
FROM
(
    SELECT
        arrayJoin(arrayZip({minutes:Array(UInt32)}, {rows:Array(UInt64)})) AS pair,
        tupleElement(pair, 1) AS minute,
        tupleElement(pair, 2) AS rows
) AS named
LEFT JOIN
(
    SELECT toUInt32(Minute) AS minute, count() AS traces, countIf(Incomplete > 0) AS incomplete
    FROM attribution_traces
    WHERE Minute IN (SELECT toDateTime(arrayJoin({minutes:Array(UInt32)}))) AND Build = {build:UInt64}
    GROUP BY minute
) AS held USING (minute)
