-- One server's newest value of each metric in the 10 minutes before $now.
SELECT arg_max(columns(* EXCLUDE (server, ts, source)), ts)
FROM metrics
WHERE server = $server AND ts > $now - INTERVAL 10 MINUTE AND ts <= $now
