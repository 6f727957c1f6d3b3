-- Partitions that a group without a position read first from past their first offset. One that was
-- recorded twice (a kill between insert and commit) counts once.
SELECT DISTINCT toString(Source) AS topic, SourcePartition AS partition, SourceOffset AS offset
FROM dead_letters
WHERE Reason = 'before_first_read'
    AND At >= fromUnixTimestamp64Milli({from_ms:Int64})
    AND At < fromUnixTimestamp64Milli({to_ms:Int64})
ORDER BY topic, partition, offset
