-- Share of targets of the last 7 days whose median was within 10 % of the scale, next to the skill.
-- Intervals are as those of `skill`.
WITH cases AS (
    SELECT
        CASE WHEN series.all_of_them THEN NULL ELSE metric END AS metric,
        CASE WHEN leads.all_of_them THEN NULL ELSE bucket END AS bucket, model, server, block,
        time_bucket(INTERVAL 1 DAY, block) AS day, sum(scaled) AS targets, sum(within_10) AS near
    FROM
        {score_blocks} AS blocks, (VALUES (true), (false)) AS series (all_of_them),
        (VALUES (true), (false)) AS leads (all_of_them)
    WHERE scaled > 0
    GROUP BY ALL
),
whole AS (
    SELECT
        metric, bucket, model, sum(targets) AS targets, sum(near) / sum(targets) AS share,
        count(DISTINCT server) AS servers, count(DISTINCT day) AS days, count(*) AS cases
    FROM cases
    GROUP BY metric, bucket, model
),
blocks AS (
    SELECT 'case' AS kind, metric, bucket, model, targets, near FROM cases
    UNION ALL
    SELECT 'day', metric, bucket, model, sum(targets), sum(near)
    FROM cases
    GROUP BY metric, bucket, model, day
),
errors AS (
    SELECT
        kind, blocks.metric, blocks.bucket, blocks.model,
        {t_95} * sqrt(count(*) / (count(*) - 1)) / any_value(whole.targets)
            * sqrt(sum((blocks.near - share * blocks.targets) ^ 2)) AS error
    FROM blocks
    JOIN whole ON blocks.model = whole.model
        AND blocks.metric IS NOT DISTINCT FROM whole.metric
        AND blocks.bucket IS NOT DISTINCT FROM whole.bucket
    GROUP BY kind, blocks.metric, blocks.bucket, blocks.model
    HAVING count(*) >= 3
),
widest AS (
    SELECT metric, bucket, model, max(error) AS error FROM errors GROUP BY metric, bucket, model
),
skills AS (  -- that of all metrics is their mean: their losses have different units
    SELECT metric, bucket, model, skill, seasonal_skill FROM {skill}
    UNION ALL
    SELECT NULL, bucket, model, avg(skill), avg(seasonal_skill)
    FROM {skill}
    GROUP BY bucket, model
)
SELECT
    whole.metric, whole.bucket, whole.model,
    share AS accuracy,
    greatest(share - error, 0) AS accuracy_low,
    least(share + error, 1) AS accuracy_high,
    share >= {goal} AS reaches_goal,
    skill, seasonal_skill,
    servers, days, cases, CAST(targets AS BIGINT) AS targets
FROM whole
LEFT JOIN widest ON whole.model = widest.model
    AND whole.metric IS NOT DISTINCT FROM widest.metric
    AND whole.bucket IS NOT DISTINCT FROM widest.bucket
LEFT JOIN skills ON whole.model = skills.model
    AND whole.metric IS NOT DISTINCT FROM skills.metric
    AND whole.bucket IS NOT DISTINCT FROM skills.bucket
