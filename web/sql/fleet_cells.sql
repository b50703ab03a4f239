-- The newest value of each indicator within 10 minutes, for servers that send them apart.
SELECT
    server,
    arg_max(cpu_idle_pct, ts) AS cpu_idle_pct,
    arg_max(cpu_iowait_pct, ts) AS cpu_iowait_pct,
    arg_max(mem_used_pct, ts) AS mem_used_pct,
    arg_max(swap_used_pct, ts) AS swap_used_pct,
    arg_max(load_average, ts) AS load_average
FROM metrics
WHERE ts > $now - INTERVAL 10 MINUTE AND ts <= $now
GROUP BY server
