-- The server and metric of an episode that is known at $now.
SELECT arg_max(server, ts) AS server, arg_max(metric, ts) AS metric,
    bool_or(phase IN ('over', 'withdrawn', 'averted')) AS ended
FROM alert_events
WHERE episode = $episode AND ts <= $now
HAVING count(*) > 0
