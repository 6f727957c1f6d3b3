-- What the attribution reads of a row, hops and application spans alike. Read by position:
-- analytics/attribution/open-traces.ts.
SELECT
    toFixedString(unhex(TraceId), 16),
    reinterpretAsUInt64(reverse(unhex(SpanId))),
    reinterpretAsUInt64(reverse(unhex(ParentSpanId))),
    toUInt64(toUnixTimestamp64Nano(Timestamp) - {base_ns:Int64}),
    -- Hops; those of copies of requests only where somebody looks at one trace.
    toUInt8(HopVersion > 0 OR ({copies:UInt8} = 1 AND MirrorVersion > 0)),
    Duration,
    Role,
    Side,
    EdgeClass,
    StreamClass,
    HttpStatus,
    ConfigGeneration,
    ServiceName,
    ClockId,
    Mesh,
    Topology,
    Route,
    Method,
    OwnNs,
    WaitNs,
    BackoffNs,
    Attempts,
    -- The only attempt, where AttemptList is empty: it ended at the response's last byte.
    toUInt64(greatest(0, toInt64(Duration) - greatest(0, TResLast) - toInt64(UpstreamNs + WaitAttemptsNs))),
    UpstreamNs + WaitAttemptsNs,
    WaitAttemptsNs,
    AttemptBits,
    AttemptList.StartNs,
    AttemptList.Ns,
    AttemptList.WaitNs,
    AttemptList.Bits,
    -- Phases are told apart only where a request enters the mesh.
    if(Role = 'gateway' OR Side = 'ingress', Phases.Function, []),
    if(Role = 'gateway' OR Side = 'ingress', Phases.Ns, [])
FROM spans
