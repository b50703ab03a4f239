-- Open episodes as of $now, the worst severity first.
SELECT * FROM {alerts} AS alerts
WHERE ended_at IS NULL
ORDER BY coalesce(list_position($severities, severity), 99), opened_at, episode
