-- Forecasts, one row for each 5-minute step: when issued, for when, and its quantiles.
SELECT
    server, metric, issued_at, made_at, model, state,
    issued_at + to_minutes(5 * (step - 1)) AS ts,
    5 * step AS lead_minutes,
    p02[step] AS p02, p10[step] AS p10, p25[step] AS p25, p50[step] AS p50,
    p75[step] AS p75, p90[step] AS p90, p98[step] AS p98
FROM (SELECT *, unnest(range(1, len(p50) + 1)) AS step FROM forecasts WHERE p50 IS NOT NULL)
