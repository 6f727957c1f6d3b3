-- Dead letters of the window that tell no hop by name: how many hops were in them is unknown.
SELECT count() AS messages
FROM dead_letters
WHERE Signal = 'traces'
    AND empty(Seqs)
    AND Items = 0
    AND At >= fromUnixTimestamp64Milli({from_ms:Int64})
    AND At < fromUnixTimestamp64Milli({to_ms:Int64})
