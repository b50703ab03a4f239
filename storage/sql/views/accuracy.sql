-- Share of targets of the last 7 days whose median was within 10 % of the scale, next to the skill.
-- Intervals are as those of `skill`.
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
days AS (
    SELECT metric, bucket, model, sum(targets) AS targets, sum(near) AS near
    FROM cases
    GROUP BY metric, bucket, model, epoch(block)::BIGINT // 86400
),
sums AS (
    SELECT
        metric, bucket, model, sum(targets) AS targets, sum(near) AS near,
        coalesce(sum(replayed), 0) / sum(targets) AS replayed,
        sum(targets ^ 2) AS targets_2, sum(near ^ 2) AS near_2,
        sum(near * targets) AS near_targets, count(DISTINCT server) AS servers,
        count(DISTINCT epoch(block)::BIGINT // 86400) AS days, count(*) AS cases,
        CASE WHEN count(*) >= 3 THEN {t_95} * sqrt(count(*) / (count(*) - 1)) END AS factor
    FROM cases
    GROUP BY metric, bucket, model
),
daily AS (
    SELECT
        metric, bucket, model, sum(targets ^ 2) AS targets_2, sum(near ^ 2) AS near_2,
        sum(near * targets) AS near_targets,
        CASE WHEN count(*) >= 3 THEN {t_95} * sqrt(count(*) / (count(*) - 1)) END AS factor
    FROM days
    GROUP BY metric, bucket, model
),
ratios AS (
    SELECT
        sums.*, near / targets AS r,
        greatest(
            sums.factor * sqrt(greatest(
                sums.near_2 - 2 * r * sums.near_targets + r ^ 2 * sums.targets_2, 0)),
            daily.factor * sqrt(greatest(
                daily.near_2 - 2 * r * daily.near_targets + r ^ 2 * daily.targets_2, 0))
        ) / targets AS error
    FROM sums
    JOIN daily ON sums.model = daily.model AND sums.metric IS NOT DISTINCT FROM daily.metric
        AND sums.bucket IS NOT DISTINCT FROM daily.bucket
),
skills AS (  -- that of all metrics is their mean: their losses have different units
    SELECT metric, bucket, model, avg(skill) AS skill, avg(seasonal_skill) AS seasonal_skill
    FROM {skill} AS shown
    GROUP BY GROUPING SETS ((metric, bucket, model), (bucket, model))
)
SELECT
    ratios.metric, ratios.bucket, ratios.model,
    r AS accuracy,
    CASE WHEN error >= 0 THEN greatest(r - error, 0) END AS accuracy_low,
    CASE WHEN error >= 0 THEN least(r + error, 1) END AS accuracy_high,
    r >= {goal} AS reaches_goal,
    skill, seasonal_skill,
    servers, days, cases, CAST(targets AS BIGINT) AS targets, replayed
FROM ratios
LEFT JOIN skills ON ratios.model = skills.model
    AND ratios.metric IS NOT DISTINCT FROM skills.metric
    AND ratios.bucket IS NOT DISTINCT FROM skills.bucket
