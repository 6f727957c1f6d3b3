-- Fails unless the whole line works: requests of the load came through the gateway, and hops of at
-- least four edge classes (from outside, gateway to mesh, within the mesh, own sidecar) are stored.
SELECT throwIf(
    countIf(EdgeClass = 'external_to_gateway') < 10 OR uniqExact(EdgeClass) < 4,
    'too few hops are stored')
FROM azimuth.spans
WHERE HopVersion > 0
