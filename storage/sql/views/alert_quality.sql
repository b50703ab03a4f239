-- How far each alert rule can be trusted: what came of the warnings that it gave in the last 30 days.
WITH episodes AS (
    SELECT
        episode, arg_max(rule, ts) AS rule, arg_max(server, ts) AS server,
        arg_max(metric, ts) AS metric, min(ts) AS opened_at, arg_min(phase, ts) AS opened_as,
        arg_max(phase, ts) AS phase, max(breached_at) AS breached_at,
        max(lead_minutes) AS horizon_minutes,
        bool_or(json_extract_string(state, '$.again') = 'true') AS again,
        bool_or(json_extract_string(state, '$.silent_arm') = 'true') AS silent_arm,
        max(ts) FILTER (phase IN ('over', 'withdrawn', 'averted')) AS ended_at
    FROM alert_events
    WHERE ts <= {now} AND metric IS NOT NULL
    GROUP BY episode
    HAVING min(ts) > {now} - INTERVAL 30 DAY
),
judged AS (
    SELECT
        *,
        opened_as = 'predicted' AS warned,
        CASE
            WHEN opened_as = 'breached' THEN CASE WHEN again THEN 'again' ELSE 'missed' END
            WHEN breached_at IS NOT NULL THEN 'right'
            WHEN phase = 'averted' THEN 'averted'
            WHEN ended_at IS NULL THEN 'open'
            WHEN ended_at >= opened_at + to_minutes(coalesce(horizon_minutes, 480)) THEN 'wrong'
            ELSE 'withdrawn'
        END AS outcome,
        least(480, date_diff('minute', opened_at, breached_at)) AS lead,
        date_diff('minute', opened_at, coalesce(breached_at, ended_at, {now})) AS warned_minutes
    FROM episodes
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
