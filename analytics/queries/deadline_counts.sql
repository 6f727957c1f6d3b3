-- How many requests of each outcome, and a choice of the late ones by a hash of their trace id, so
-- that the same window gives the same choice.
SELECT
    outcome,
    count() AS requests,
    countIf(with_deadline) AS with_deadline,
    if(outcome = 'in_time', [], arraySlice(arraySort(x -> cityHash64(x), groupUniqArray(20000)(trace)), 1, {choice:UInt32})) AS chosen
FROM ({{deadline_requests}})
GROUP BY outcome
