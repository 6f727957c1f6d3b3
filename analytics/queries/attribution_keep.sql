-- Takes the traces of some minutes that did not change over into a new build.
INSERT INTO attribution_traces
SELECT * REPLACE ({build:UInt64} AS Build)
FROM
(
    SELECT *
    FROM attribution_traces
    WHERE Minute IN (SELECT toDateTime(arrayJoin({minutes:Array(UInt32)})))
        AND (Minute, Build) IN (SELECT Minute, max(Build) FROM attribution_builds GROUP BY Minute)
        AND TraceId NOT IN ({{attribution_late_traces}})
)
