-- The fleet as of $now, with the newest value of each indicator of the fleet page.
WITH recent AS (
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
rolled_up AS (
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
    coalesce(recent.cpu_idle_pct, rolled_up.cpu_idle_pct) AS cpu_idle_pct,
    coalesce(recent.cpu_iowait_pct, rolled_up.cpu_iowait_pct) AS cpu_iowait_pct,
    coalesce(recent.mem_used_pct, rolled_up.mem_used_pct) AS mem_used_pct,
    coalesce(recent.swap_used_pct, rolled_up.swap_used_pct) AS swap_used_pct,
    coalesce(recent.load_average, rolled_up.load_average) AS load_average
FROM {fleet_now} AS fleet_now
LEFT JOIN recent USING (server)
LEFT JOIN rolled_up USING (server)
