-- Alert episodes, open and ended: the newest event of each, since when, and who answered.
WITH openings AS (
    SELECT
        episode, min(ts) AS opened_at, arg_min(phase, ts) AS opened_as,
        max(ts) FILTER (phase IN ('over', 'withdrawn', 'averted')) AS ended_at,
        arg_min(made_by, ts) FILTER (event IN ('acknowledged', 'acting')) AS answered_by,
        bool_or(event IN ('acting', 'deploy', 'remediation', 'reboot')) AS acted_on,
        max(breached_at) AS breached_at, max(lead_minutes) AS horizon_minutes,
        bool_or(json_extract_string(state, '$.again') = 'true') AS again,
        bool_or(json_extract_string(state, '$.silent_arm') = 'true') AS silent_arm
    FROM alert_events
    WHERE ts <= {now}
    GROUP BY episode
),
newest AS (
    SELECT * FROM alert_events
    WHERE ts <= {now}
    QUALIFY row_number() OVER (PARTITION BY episode ORDER BY ts DESC, event) = 1
)
SELECT
    newest.episode, newest.server, newest.metric, newest.rule, newest.phase, newest.severity,
    openings.opened_at, openings.opened_as, newest.breached_at, openings.ended_at,
    CASE
        WHEN newest.metric IS NULL THEN NULL
        WHEN openings.opened_as = 'breached' AND openings.again THEN 'again'
        WHEN openings.opened_as = 'breached' THEN 'missed'
        -- A warning that was given when the breach had begun came too late.
        WHEN openings.breached_at < openings.opened_at THEN 'missed'
        WHEN openings.breached_at IS NOT NULL THEN 'right'
        WHEN newest.phase = 'averted' THEN 'averted'
        WHEN openings.ended_at IS NULL THEN 'open'
        WHEN openings.ended_at
            >= openings.opened_at + to_minutes(coalesce(openings.horizon_minutes, 480))
            THEN 'wrong'
        ELSE 'withdrawn'
    END AS outcome,
    coalesce(openings.silent_arm, false) AS silent_arm,
    newest.ts AS changed_at, newest.event, newest.escalation,
    -- The warning that there was, at most the 8 hours of a forecast.
    CASE WHEN openings.opened_as = 'predicted' AND newest.breached_at >= openings.opened_at
        THEN least(480, date_diff('minute', openings.opened_at, newest.breached_at))
    END AS lead_minutes,
    newest.value, newest.threshold, newest.p, newest.lead_minutes AS horizon_minutes,
    newest.earliest, newest.likely, newest.latest,
    CASE WHEN openings.ended_at IS NULL THEN newest.closes_at END AS closes_at,
    openings.answered_by, openings.acted_on, newest.profile, newest.site, newest.group_key,
    newest.group_id, newest.caused_by, newest.channels, newest.why, newest.reasons
FROM newest
JOIN openings USING (episode)
