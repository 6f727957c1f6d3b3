-- Publishes one build of the hours named.
INSERT INTO hour_builds
SELECT
    toDateTime(tupleElement(pair, 1)) AS Hour,
    {build:UInt64} AS Build,
    toUInt64(tupleElement(pair, 2)) AS MinuteBuild,
    toDateTime({built_at_s:UInt32}) AS BuiltAt
FROM (SELECT arrayJoin(arrayZip({starts:Array(UInt32)}, {states:Array(String)})) AS pair)
