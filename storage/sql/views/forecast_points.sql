-- Forecasts as served, one row for each 5-minute step: when issued, for when, and its quantiles.
WITH steps AS (
    SELECT
        * EXCLUDE (p02, p10, p25, p50, p75, p90, p98),
        p02[step] AS p02, p10[step] AS p10, p25[step] AS p25, p50[step] AS p50,
        p75[step] AS p75, p90[step] AS p90, p98[step] AS p98,
        widths IS NULL AND weights IS NULL AS as_it_is,
        CASE WHEN step <= 12 THEN 0 WHEN step <= 48 THEN 1 ELSE 2 END AS bucket,
        {lowest} AS lowest, {highest} AS highest
    FROM (
        SELECT *, unnest(range(1, len(p50) + 1)) AS step
        FROM forecasts
        WHERE state != 'abstained' AND p50 IS NOT NULL
    )
),
-- Distances from the median after calibration, each no less than that of a narrower band.
distances AS (
    SELECT
        *,
        greatest(coalesce(widths[3 * bucket + 1], 1)::DOUBLE * (p50 - p25), 0) AS below_25,
        greatest(coalesce(widths[3 * bucket + 2], 1)::DOUBLE * (p50 - p10), below_25) AS below_10,
        greatest(coalesce(widths[3 * bucket + 3], 1)::DOUBLE * (p50 - p02), below_10) AS below_02,
        greatest(coalesce(widths[3 * bucket + 1], 1)::DOUBLE * (p75 - p50), 0) AS above_75,
        greatest(coalesce(widths[3 * bucket + 2], 1)::DOUBLE * (p90 - p50), above_75) AS above_90,
        greatest(coalesce(widths[3 * bucket + 3], 1)::DOUBLE * (p98 - p50), above_90) AS above_98,
        coalesce(weights[4 * bucket + 1], 1)::DOUBLE AS model_share,
        coalesce(weights[4 * bucket + 2], 0)::DOUBLE AS context_share,
        coalesce(weights[4 * bucket + 3], 0)::DOUBLE AS seasonal_share,
        coalesce(weights[4 * bucket + 4], 0)::DOUBLE AS last_share
    FROM steps
)
SELECT
    server, metric, issued_at, made_at, model, state,
    issued_at + to_minutes(5 * (step - 1)) AS ts,
    5 * step AS lead_minutes,
    {blended}
FROM distances
