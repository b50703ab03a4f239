-- One server's newest reading of each metric in the last 10 minutes.
SELECT arg_max(columns(* EXCLUDE (server, ts, source)), ts)
FROM metrics
WHERE server = $server AND ts > now() - INTERVAL 10 MINUTE
