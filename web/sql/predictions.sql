-- What is expected of each server as of $now, the highest risk first.
SELECT
    server, profile, site, last_seen, risk_at, score, severity, respond_within_minutes,
    COLUMNS('p_breach_.*'), breach_metric, breach_earliest, breach_likely, breach_latest,
    forecast_at, forecast_made_at, forecast_state, forecast_why, reasons
FROM {fleet_now} AS fleet_now
WHERE $server IS NULL OR server = $server
ORDER BY score DESC NULLS LAST, server
