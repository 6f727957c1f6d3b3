-- Attribution a second time, as one statement of sets and arrays: what the streaming worker must
-- equal. Written from docs/GLOSSARY.md and the columns' comments in the schema; shares no text with
-- the worker. Far too dear for more than some thousand traces.
WITH
-- Each span once, with its attempts as (number, start, end, client wait, bits).
stored AS
(
    SELECT
        TraceId AS trace,
        reinterpretAsUInt64(reverse(unhex(SpanId))) AS id,
        reinterpretAsUInt64(reverse(unhex(ParentSpanId))) AS parent,
        HopVersion > 0 AS is_hop,
        toString(Role) AS role,
        toString(Side) AS side,
        toString(ServiceName) AS service,
        toString(ClockId) AS clock,
        toUnixTimestamp64Nano(Timestamp) AS start,
        toInt64(Duration) AS duration,
        toInt64(OwnNs) AS own,
        toInt64(WaitNs) AS wait,
        toInt64(BackoffNs) AS backoff,
        side = 'inbound' OR (side = 'ingress' AND role = 'sidecar') AS to_workload,
        if(role = 'gateway' OR side = 'ingress', arrayZip(`Phases.Function`, `Phases.Ns`), []) AS functions,
        multiIf(
            Attempts = 0, [],
            notEmpty(`AttemptList.Ns`),
            arrayMap(
                (n, at, ns, held, bits) -> (toUInt64(n), start + toInt64(at), start + toInt64(at + ns), toInt64(held), bits),
                arrayEnumerate(`AttemptList.Ns`), `AttemptList.StartNs`, `AttemptList.Ns`, `AttemptList.WaitNs`, `AttemptList.Bits`),
            [(
                toUInt64(1),
                start + duration - greatest(TResLast, 0) - toInt64(UpstreamNs + WaitAttemptsNs),
                start + duration - greatest(TResLast, 0),
                toInt64(WaitAttemptsNs),
                AttemptBits)]) AS attempts
    FROM spans
    WHERE Timestamp >= fromUnixTimestamp64Milli({from_ms:Int64})
        AND Timestamp < fromUnixTimestamp64Milli({to_ms:Int64})
    LIMIT 1 BY TraceId, SpanId
),
-- What a trace knows about its spans: hops by id, and who is above each application's span.
known AS
(
    SELECT
        trace AS of_trace,
        groupArrayIf(id, is_hop) AS hop_ids,
        groupArrayIf(id, is_hop AND to_workload) AS workload_ids,
        mapFromArrays(groupArrayIf(id, NOT is_hop), groupArrayIf(parent, NOT is_hop)) AS above
    FROM stored
    GROUP BY trace
),
-- Hops with the id above them past all application spans, and the hop that this id names.
hops AS
(
    SELECT
        stored.*,
        arrayFold(
            (at, step) -> if(has(hop_ids, bitAnd(at, bitNot(toUInt64(15)))) OR NOT mapContains(above, at), at, above[at]),
            range(64), parent) AS named,
        bitAnd(named, bitNot(toUInt64(15))) AS named_hop,
        has(hop_ids, named_hop) AS is_called,
        is_called AND bitAnd(named, 15) > 0 AND (side = 'outbound' OR NOT has(workload_ids, named_hop)) AS fits
    FROM stored
    INNER JOIN known ON of_trace = trace
    WHERE is_hop
),
entrances AS
(
    SELECT trace AS entered, argMin(id, start) AS root, count() AS roots
    FROM hops
    WHERE NOT is_called AND (named = 0 OR side = 'ingress')
    GROUP BY trace
),
attempts AS
(
    SELECT
        trace AS a_trace, id AS a_hop, role AS a_role, side AS a_side, service AS a_service, clock AS a_clock,
        to_workload AS a_to_workload,
        tupleElement(attempt, 1) AS a_number,
        tupleElement(attempt, 2) AS a_from,
        tupleElement(attempt, 3) AS a_to,
        a_to - a_from - tupleElement(attempt, 4) AS a_ns,
        tupleElement(attempt, 5) AS a_bits
    FROM hops
    ARRAY JOIN attempts AS attempt
),
-- Who called each hop but the root: (hop, attempt), by id, else for outbound hops by interval.
callers AS
(
    SELECT
        trace AS c_trace, id AS c_id, side AS c_side,
        any(hops.fits) AS by_id,
        groupArrayIf((a_hop, a_number), a_hop > 0 AND a_from <= start AND start <= a_to) AS candidates,
        multiIf(
            by_id, (any(named_hop), bitAnd(any(named), 15)),
            side = 'outbound' AND length(candidates) = 1, candidates[1],
            (toUInt64(0), toUInt64(0))) AS caller
    FROM hops
    LEFT JOIN (SELECT * FROM attempts WHERE a_to_workload) AS near
        ON a_trace = trace AND a_service = service AND a_clock = clock
    WHERE (trace, id) NOT IN (SELECT entered, root FROM entrances)
    GROUP BY trace, id, side
),
calls AS
(
    SELECT
        c_trace AS l_trace, tupleElement(caller, 1) AS l_hop, tupleElement(caller, 2) AS l_number,
        groupArray((start, duration, wait, service, clock, side)) AS called
    FROM callers
    INNER JOIN hops ON trace = c_trace AND id = c_id
    WHERE tupleElement(caller, 1) > 0
    GROUP BY l_trace, l_hop, l_number
),
spent AS
(
    SELECT
        attempts.*,
        called,
        arrayFilter(c -> tupleElement(c, 6) = 'outbound', called) AS outbound,
        arrayMap(c -> greatest(tupleElement(c, 1), a_from), outbound) AS begins,
        arrayMap(c -> least(tupleElement(c, 1) + tupleElement(c, 2), a_to), outbound) AS ends,
        toInt64(arrayReduce('intervalLengthSum',
            arrayFilter((b, e) -> e > b, begins, ends), arrayFilter((e, b) -> e > b, ends, begins))) AS covered,
        arraySum(arrayMap(c -> tupleElement(c, 2), outbound)) AS lasted,
        arraySum(arrayMap(c -> tupleElement(c, 3), outbound)) AS held,
        bitAnd(a_bits, 3) = 3 AND empty(called) AND NOT a_to_workload AS lacks_child,
        a_to_workload AND arrayExists(c -> tupleElement(c, 5) != a_clock OR tupleElement(c, 1) < a_from, outbound) AS two_clocks,
        -- The caller gave up, or a clock runs wrong by more than a part in a thousand; 30 ms are the scheduler's.
        NOT a_to_workload AND a_to - a_from = a_ns AND notEmpty(called) AND tupleElement(called[1], 3) = 0
            AND a_ns - tupleElement(called[1], 2) + 30000000 < -tupleElement(called[1], 2) / 1000 AS outlived
    FROM attempts
    LEFT JOIN calls ON l_trace = a_trace AND l_hop = a_hop AND l_number = a_number
),
segments AS
(
    SELECT trace AS s_trace, 'gateway' AS kind, service AS place,
        arrayElement({functions:Array(String)}, tupleElement(spent_in, 1) + 1) AS detail,
        toInt64(tupleElement(spent_in, 2)) AS ns
    FROM hops ARRAY JOIN functions AS spent_in
    UNION ALL
    SELECT trace, if(role = 'gateway', 'gateway', 'mesh'), service, if(role = 'gateway', '', side),
        own - toInt64(arraySum(arrayMap(f -> tupleElement(f, 2), functions)))
    FROM hops
    UNION ALL
    SELECT trace, 'backoff', service, side, backoff FROM hops
    UNION ALL
    SELECT trace, 'client_wait', service, '', wait FROM hops WHERE (trace, id) IN (SELECT entered, root FROM entrances)
    UNION ALL
    SELECT a_trace, 'application', a_service, '', a_ns - covered + held FROM spent WHERE a_to_workload
    UNION ALL
    SELECT a_trace, 'parallel_surplus', a_service, '', covered - lasted FROM spent WHERE a_to_workload
    UNION ALL
    SELECT a_trace, 'wire', a_service, tupleElement(called[1], 4),
        a_ns - tupleElement(called[1], 2) + tupleElement(called[1], 3)
    FROM spent WHERE NOT a_to_workload AND notEmpty(called)
    UNION ALL
    SELECT a_trace, 'upstream', a_service, '', a_ns FROM spent WHERE NOT a_to_workload AND empty(called) AND NOT lacks_child
),
named_sums AS
(
    SELECT s_trace, kind, place, detail, sum(ns) AS ns FROM segments GROUP BY s_trace, kind, place, detail
),
sums AS
(
    SELECT s_trace, sum(ns) AS explained, arraySort(groupArrayIf((kind, place, detail, ns), ns != 0)) AS parts
    FROM named_sums GROUP BY s_trace
),
lost AS
(
    SELECT
        c_trace AS x_trace,
        sum(NOT by_id AND tupleElement(caller, 1) > 0) AS by_interval,
        max(tupleElement(caller, 1) = 0 AND NOT (side = 'outbound' AND length(candidates) > 1)) AS missing_parent,
        max(tupleElement(caller, 1) = 0 AND side = 'outbound' AND length(candidates) > 1) AS ambiguous_parent
    FROM (SELECT *, c_side AS side FROM callers)
    GROUP BY c_trace
),
gaps AS
(
    SELECT a_trace AS g_trace, max(lacks_child) AS missing_child, max(two_clocks) AS clock_domains, max(outlived) AS outlives_call
    FROM spent GROUP BY a_trace
)
SELECT
    whole.trace AS trace,
    whole.hops AS hops,
    entrances.roots AS roots,
    lost.by_interval AS by_interval,
    if(roots = 0, 0, root_hop.duration) AS duration_ns,
    if(roots = 0, 0, duration_ns - explained) AS residual_ns,
    parts,
    arraySort(arrayFilter(reason -> reason != '', [
        if(roots = 0, 'missing_root', ''),
        if(missing_parent, 'missing_parent', ''),
        if(missing_child, 'missing_child', ''),
        if(ambiguous_parent, 'ambiguous_parent', ''),
        if(roots > 1, 'several_roots', ''),
        if(clock_domains, 'clock_domains', ''),
        if(outlives_call, 'outlives_call', '')])) AS lacks
FROM (SELECT trace, count() AS hops FROM hops GROUP BY trace) AS whole
LEFT JOIN entrances ON entrances.entered = whole.trace
LEFT JOIN (SELECT trace, id, duration FROM hops) AS root_hop ON root_hop.trace = whole.trace AND root_hop.id = entrances.root
LEFT JOIN sums ON sums.s_trace = whole.trace
LEFT JOIN lost ON lost.x_trace = whole.trace
LEFT JOIN gaps ON gaps.g_trace = whole.trace
ORDER BY trace
