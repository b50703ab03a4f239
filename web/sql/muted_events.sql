-- What would have notified somebody in the 7 days before $now, and was muted: why, and whom.
SELECT ts, episode, server, metric, event, severity, why, count(*) OVER () AS total
FROM alert_events
WHERE ts > $now - INTERVAL 7 DAY AND ts <= $now
    AND channels IS NULL AND contains(why, 'would have been sent to')
ORDER BY ts DESC
LIMIT 50
