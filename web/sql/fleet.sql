-- The fleet as it stood at $now, with each server's newest reading of the indicators that are shown first.
WITH fresh AS (
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
),
stepped AS (
    SELECT
        server,
        arg_max(cpu_idle_pct_mean, ts) AS cpu_idle_pct,
        arg_max(cpu_iowait_pct_mean, ts) AS cpu_iowait_pct,
        arg_max(mem_used_pct_mean, ts) AS mem_used_pct,
        arg_max(swap_used_pct_mean, ts) AS swap_used_pct,
        arg_max(load_average_mean, ts) AS load_average
    FROM metrics_5m
    WHERE ts > $now - INTERVAL 1 DAY AND ts <= $now - INTERVAL 5 MINUTE
    GROUP BY server
)
SELECT
    fleet_now.*,
    coalesce(fresh.cpu_idle_pct, stepped.cpu_idle_pct) AS cpu_idle_pct,
    coalesce(fresh.cpu_iowait_pct, stepped.cpu_iowait_pct) AS cpu_iowait_pct,
    coalesce(fresh.mem_used_pct, stepped.mem_used_pct) AS mem_used_pct,
    coalesce(fresh.swap_used_pct, stepped.swap_used_pct) AS swap_used_pct,
    coalesce(fresh.load_average, stepped.load_average) AS load_average
FROM {fleet_now} AS fleet_now
LEFT JOIN fresh USING (server)
LEFT JOIN stepped USING (server)
