-- Open alert episodes by severity, as of $now.
SELECT severity, count(*) AS episodes
FROM {alerts} AS alerts
WHERE ended_at IS NULL
GROUP BY severity
ORDER BY episodes DESC
