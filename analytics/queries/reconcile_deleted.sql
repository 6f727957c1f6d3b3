-- Messages that the broker deleted before they were read, by partition. One that was recorded twice
-- (a kill between insert and commit) counts once: by its first offset.
SELECT topic, partition, from_offset, from_offset + messages - 1 AS to_offset, messages
FROM
(
    SELECT
        toString(Source) AS topic,
        SourcePartition AS partition,
        SourceOffset AS from_offset,
        toUInt64(max(Items)) AS messages
    FROM dead_letters
    WHERE Reason = 'deleted_by_broker'
        AND At >= fromUnixTimestamp64Milli({from_ms:Int64})
        AND At < fromUnixTimestamp64Milli({to_ms:Int64})
    GROUP BY topic, partition, from_offset
)
ORDER BY topic, partition, from_offset
