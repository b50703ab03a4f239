-- Loss of served forecasts of the last 7 days relative to naive ones, with 95 % intervals.
WITH cases AS MATERIALIZED (
    SELECT
        metric, bucket, model, server, block, sum(targets) AS targets,
        sum(replayed) AS replayed, sum(loss) AS loss,
        sum(loss_model) AS loss_model, sum(error_naive) AS naive, sum(error_seasonal) AS seasonal
    FROM {score_blocks} AS blocks
    WHERE loss IS NOT NULL AND error_naive IS NOT NULL AND error_seasonal IS NOT NULL
    GROUP BY GROUPING SETS (
        (metric, bucket, model, server, block), (metric, model, server, block)
    )
),
{skill_ratios}
SELECT
    metric, bucket, model,
    1 - r AS skill, 1 - r - r_error AS skill_low, 1 - r + r_error AS skill_high,
    1 - s AS seasonal_skill,
    1 - s - s_error AS seasonal_skill_low, 1 - s + s_error AS seasonal_skill_high,
    1 - own AS model_skill,
    loss / targets AS loss,
    servers, days, cases, CAST(targets AS BIGINT) AS targets, replayed
FROM ratios
