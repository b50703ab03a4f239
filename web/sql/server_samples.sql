-- When one server's newest sample of the hour before $now was measured, and its newest value of each metric in the last 10 minutes.
SELECT max(ts) AS last_seen, arg_max(columns(* EXCLUDE (server, ts)), ts) FILTER (ts > $now - INTERVAL 10 MINUTE)
FROM metrics
WHERE server = $server AND ts > $now - INTERVAL 1 HOUR AND ts <= $now
