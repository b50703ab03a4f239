-- The newest episode of each server that was opened or changed within 10 minutes before $now.
SELECT server, arg_max(event, ts) AS episode_event
FROM alert_events
WHERE ts > $now - INTERVAL 10 MINUTE AND ts <= $now AND server IS NOT NULL
GROUP BY server
