-- Publishes one build of the days named.
INSERT INTO day_builds
SELECT
    toDateTime(tupleElement(pair, 1)) AS Day,
    {build:UInt64} AS Build,
    toUInt64(tupleElement(pair, 2)) AS HourBuilds,
    toDateTime({built_at_s:UInt32}) AS BuiltAt
FROM (SELECT arrayJoin(arrayZip({starts:Array(UInt32)}, {states:Array(String)})) AS pair)
