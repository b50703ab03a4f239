-- Of each server with a 5-minute step since $since: the newest one, the length of the context, and
-- the newest mean of each indicator, as of $now.
SELECT
    server, max(ts) AS last_step,
    CAST(count(*) FILTER (ts >= $now - INTERVAL 24 HOUR) AS INTEGER) AS context_steps,
    arg_max(cpu_idle_pct_mean, ts) FILTER (ts > $now - INTERVAL 1 DAY) AS cpu_idle_pct,
    arg_max(cpu_iowait_pct_mean, ts) FILTER (ts > $now - INTERVAL 1 DAY) AS cpu_iowait_pct,
    arg_max(mem_used_pct_mean, ts) FILTER (ts > $now - INTERVAL 1 DAY) AS mem_used_pct,
    arg_max(swap_used_pct_mean, ts) FILTER (ts > $now - INTERVAL 1 DAY) AS swap_used_pct,
    arg_max(load_average_mean, ts) FILTER (ts > $now - INTERVAL 1 DAY) AS load_average
FROM metrics_5m
WHERE ts > $since AND ts <= $now - INTERVAL 5 MINUTE
GROUP BY server
