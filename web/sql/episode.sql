-- One episode as of $now, with the record of its rule.
SELECT
    alerts.*, quality.warnings, quality.correct, quality.wrong, quality.withdrawn,
    quality.averted, quality.missed, quality.median_lead_minutes
FROM {alerts} AS alerts
LEFT JOIN {alert_quality} AS quality USING (rule)
WHERE episode = $episode
