-- Open episodes, worst first.
SELECT episode, rule, severity, server, metric, profile, site, phase, opened_at, value, why
FROM {alerts} AS alerts
WHERE ended_at IS NULL
ORDER BY opened_at, episode
