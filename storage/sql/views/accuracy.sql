-- Share of targets of the last 7 days whose median was within 10 % of the scale, next to the skill.
WITH cases AS MATERIALIZED (
    SELECT
        metric, bucket, model, server, block, sum(scaled)::DOUBLE AS targets,
        sum(replayed) / sum(targets) * sum(scaled) AS replayed,
        sum(within_10)::DOUBLE AS near
    FROM {score_blocks} AS blocks
    WHERE scaled > 0
    GROUP BY GROUPING SETS (
        (metric, bucket, model, server, block), (metric, model, server, block),
        (bucket, model, server, block), (model, server, block)
    )
),
{accuracy_ratios},
skills AS (  -- that of all metrics is their mean: their losses have different units
    SELECT metric, bucket, model, avg(skill) AS skill, avg(seasonal_skill) AS seasonal_skill
    FROM {skill} AS shown
    GROUP BY GROUPING SETS ((metric, bucket, model), (bucket, model))
)
SELECT
    ratios.metric, ratios.bucket, ratios.model,
    r AS accuracy,
    CASE WHEN r_error >= 0 THEN greatest(r - r_error, 0) END AS accuracy_low,
    CASE WHEN r_error >= 0 THEN least(r + r_error, 1) END AS accuracy_high,
    r >= {goal} AS reaches_goal,
    skill, seasonal_skill,
    servers, days, cases, CAST(targets AS BIGINT) AS targets, replayed
FROM ratios
LEFT JOIN skills ON ratios.model = skills.model
    AND ratios.metric IS NOT DISTINCT FROM skills.metric
    AND ratios.bucket IS NOT DISTINCT FROM skills.bucket
