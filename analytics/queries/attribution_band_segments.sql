-- Per band of buckets [low, high]: sums by named segment.
SELECT
    tupleElement(band, 1) AS band,
    toString(segment_kind) AS kind,
    segment_place AS place,
    segment_detail AS detail,
    sum(segment_ns) AS ns
FROM
(
    SELECT
        arrayJoin(arrayFilter(
            b -> bucket >= tupleElement(b, 2) AND bucket <= tupleElement(b, 3),
            arrayZip({band:Array(UInt8)}, {low:Array(UInt32)}, {high:Array(UInt32)}))) AS band,
        Segments.Kind AS kinds, Segments.Place AS places, Segments.Detail AS details, Segments.Ns AS times
    FROM ({{attribution_window}})
    WHERE Incomplete = 0 AND StreamClass = ''
)
ARRAY JOIN kinds AS segment_kind, places AS segment_place, details AS segment_detail, times AS segment_ns
GROUP BY band, kind, place, detail
