-- One server's episodes as of $now, open ones first, then those that ended within 30 days, newest first.
SELECT episode, metric, rule, phase, severity, opened_at, breached_at, ended_at, answered_by, why, reasons
FROM {alerts} AS alerts
WHERE server = $server AND (ended_at IS NULL OR ended_at > $now - INTERVAL 30 DAY)
ORDER BY ended_at IS NOT NULL, opened_at DESC
LIMIT 11
