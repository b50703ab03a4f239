-- Share of targets of the last 7 days inside the bands, as served and as the model made them.
-- Series that do not move are left out.
WITH cases AS MATERIALIZED (
    SELECT
        metric, bucket, model, server, block, sum(moving)::DOUBLE AS targets,
        sum(replayed) / sum(targets) * sum(moving) AS replayed,
        sum(inside_50)::DOUBLE AS served_50, sum(inside_80)::DOUBLE AS served_80,
        sum(inside_96)::DOUBLE AS served_96, sum(inside_50_model)::DOUBLE AS own_50,
        sum(inside_80_model)::DOUBLE AS own_80, sum(inside_96_model)::DOUBLE AS own_96
    FROM {score_blocks} AS blocks
    WHERE moving > 0
    GROUP BY GROUPING SETS (
        (metric, bucket, model, server, block), (metric, model, server, block),
        (bucket, model, server, block), (model, server, block)
    )
),
{coverage_ratios},
bands AS (
    SELECT
        metric, bucket, model, servers, days, cases, targets, replayed,
        unnest([50, 80, 96]) AS band,
        unnest([r_50, r_80, r_96]) AS r,
        unnest([r_50_error, r_80_error, r_96_error]) AS r_error,
        unnest([s_50, s_80, s_96]) AS s,
        unnest([s_50_error, s_80_error, s_96_error]) AS s_error
    FROM ratios
)
SELECT
    metric, bucket, model, band,
    r AS inside,
    CASE WHEN r_error >= 0 THEN greatest(r - r_error, 0) END AS inside_low,
    CASE WHEN r_error >= 0 THEN least(r + r_error, 1) END AS inside_high,
    s AS inside_model,
    CASE WHEN s_error >= 0 THEN greatest(s - s_error, 0) END AS inside_model_low,
    CASE WHEN s_error >= 0 THEN least(s + s_error, 1) END AS inside_model_high,
    servers, days, cases, CAST(targets AS BIGINT) AS targets, replayed
FROM bands
