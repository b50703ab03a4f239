-- How far each alert rule can be trusted: what came of the warnings that it gave in the last 30 days.
WITH judged AS (
    SELECT
        rule, opened_as = 'predicted' AS warned, outcome, silent_arm,
        least(480, date_diff('minute', opened_at, breached_at)) AS lead,
        date_diff('minute', opened_at, coalesce(breached_at, ended_at, {now})) AS warned_minutes
    FROM {alerts} AS alerts
    WHERE metric IS NOT NULL AND opened_at > {now} - INTERVAL 30 DAY
),
hosts AS (  -- not the history before: no rule could warn then
    SELECT count(*) / 288 AS host_days
    FROM metrics_5m
    WHERE ts > {now} - INTERVAL 30 DAY AND ts <= {now}
        AND ts >= coalesce((SELECT min(ts) FROM runs WHERE function = 'alert'), '-infinity')
)
SELECT
    rule,
    count(*) FILTER (warned) AS warnings,
    count(*) FILTER (outcome = 'right') AS correct,
    count(*) FILTER (outcome = 'wrong') AS wrong,
    count(*) FILTER (outcome = 'withdrawn') AS withdrawn,
    count(*) FILTER (outcome = 'averted') AS averted,
    count(*) FILTER (outcome = 'open') AS still_open,
    count(*) FILTER (outcome = 'missed') AS missed,
    count(*) FILTER (outcome = 'right')
        / nullif(count(*) FILTER (outcome IN ('right', 'wrong', 'withdrawn')), 0) AS precision,
    count(*) FILTER (outcome = 'right')
        / nullif(count(*) FILTER (outcome IN ('right', 'missed')), 0) AS recall,
    count(*) FILTER (outcome = 'averted')
        / nullif(count(*) FILTER (warned AND outcome != 'open'), 0) AS averted_share,
    count(*) FILTER (silent_arm) AS silent_warnings,
    count(*) FILTER (silent_arm AND outcome = 'right')
        / nullif(count(*) FILTER (silent_arm AND outcome IN ('right', 'wrong', 'withdrawn')), 0)
        AS silent_precision,
    median(lead) FILTER (outcome = 'right') AS median_lead_minutes,
    quantile_cont(lead, 0.1) FILTER (outcome = 'right') AS p10_lead_minutes,
    any_value(host_days) AS host_days,
    count(*) FILTER (outcome IN ('wrong', 'withdrawn')) / nullif(any_value(host_days), 0)
        AS false_per_host_day,
    coalesce(sum(warned_minutes) FILTER (warned), 0) / nullif(1440 * any_value(host_days), 0)
        AS share_of_time_warned
FROM judged, hosts
GROUP BY rule
