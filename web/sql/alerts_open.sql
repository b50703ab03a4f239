-- Open episodes as of $now with the newest odds, the worst severity first, then the least time to act.
WITH opened AS (
    SELECT * FROM {alerts} AS alerts WHERE ended_at IS NULL AND ($episode = '' OR episode = $episode)
),
newest AS (
    SELECT server, metric, arg_max(odds, issued_at) AS odds
    FROM odds
    WHERE issued_at > $now - INTERVAL 1 HOUR AND issued_at <= $now
        AND server IN (SELECT server FROM opened)
    GROUP BY server, metric
),
answers AS (
    SELECT episode, arg_max({'event': event, 'ts': ts, 'made_by': made_by}, ts) AS answer
    FROM alert_events
    WHERE ts <= $now AND event IN ('acknowledged', 'acting')
        AND episode IN (SELECT episode FROM opened)
    GROUP BY episode
)
SELECT
    opened.*, newest.odds.checked AS checked, newest.odds.p_480m AS p_480m,
    newest.odds.earliest AS odds_earliest, newest.odds.likely AS odds_likely,
    newest.odds.latest AS odds_latest, newest.odds.value AS newest_value,
    CASE horizon_minutes
        WHEN 30 THEN newest.odds.p_30m WHEN 60 THEN newest.odds.p_60m
        WHEN 120 THEN newest.odds.p_120m WHEN 240 THEN newest.odds.p_240m
        ELSE newest.odds.p_480m
    END AS p_now,
    answers.answer.event AS answer, answers.answer.made_by AS answer_by,
    answers.answer.ts AS answer_at, count(*) OVER () AS total
FROM opened
LEFT JOIN newest ON newest.server = opened.server AND newest.metric = opened.metric
LEFT JOIN answers USING (episode)
ORDER BY
    coalesce(list_position($severities, severity), 99), phase != 'breached',
    coalesce(newest.odds.earliest, earliest, newest.odds.likely, likely) NULLS LAST,
    opened_at, episode
LIMIT $rows OFFSET $skip
