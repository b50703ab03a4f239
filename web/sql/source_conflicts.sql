-- Servers of which two sources wrote the same metric between $since and $now, one row a pair of
-- sources: how many servers, the first of them, and its metrics.
WITH written AS (
    SELECT
        server, source, min(ts) AS first_ts, max(ts) AS last_ts,
        count(COLUMNS(* EXCLUDE (server, source, ts)))
    FROM metrics
    WHERE ts > $since AND ts <= $now
    GROUP BY server, source
),
cells AS (
    UNPIVOT written ON COLUMNS(* EXCLUDE (server, source, first_ts, last_ts))
    INTO NAME metric VALUE n
),
pairs AS (
    SELECT
        one.source AS one, other.source AS other, one.server AS server,
        list(regexp_extract(one.metric, '(\w+)\)?$', 1) ORDER BY one.metric) AS metrics
    FROM cells AS one
    JOIN cells AS other USING (server, metric)
    WHERE one.source < other.source AND one.n > 0 AND other.n > 0
        AND one.first_ts <= other.last_ts AND other.first_ts <= one.last_ts
    GROUP BY one.source, other.source, one.server
)
SELECT
    one, other, count(*) AS servers, min(server) AS server, arg_min(metrics, server) AS metrics
FROM pairs
GROUP BY one, other
ORDER BY one, other
