-- Loss of served forecasts of the last 7 days relative to naive ones, with 95 % intervals.
-- Intervals are those of a ratio of sums over blocks, by the wider of two kinds of blocks: a server
-- and 8 h, and whole days, in which a fleet moves together.
WITH cases AS (
    SELECT
        metric, CASE WHEN leads.all_of_them THEN NULL ELSE bucket END AS bucket, model, server,
        block, time_bucket(INTERVAL 1 DAY, block) AS day,
        sum(targets) AS targets, sum(loss) AS loss, sum(loss_model) AS loss_model,
        sum(error_naive) AS naive, sum(error_seasonal) AS seasonal
    FROM {score_blocks} AS blocks, (VALUES (true), (false)) AS leads (all_of_them)
    WHERE loss IS NOT NULL AND error_naive IS NOT NULL AND error_seasonal IS NOT NULL
    GROUP BY ALL
),
whole AS (
    SELECT
        metric, bucket, model, sum(loss) / nullif(sum(naive), 0) AS naive_ratio,
        sum(loss) / nullif(sum(seasonal), 0) AS seasonal_ratio,
        sum(loss_model) / nullif(sum(naive), 0) AS model_ratio, sum(naive) AS naive,
        sum(seasonal) AS seasonal, sum(loss) AS loss, CAST(sum(targets) AS BIGINT) AS targets,
        count(DISTINCT server) AS servers, count(DISTINCT day) AS days, count(*) AS cases
    FROM cases
    GROUP BY metric, bucket, model
),
blocks AS (
    SELECT 'case' AS kind, metric, bucket, model, loss, naive, seasonal FROM cases
    UNION ALL
    SELECT 'day', metric, bucket, model, sum(loss), sum(naive), sum(seasonal)
    FROM cases
    GROUP BY metric, bucket, model, day
),
errors AS (
    SELECT
        kind, blocks.metric, blocks.bucket, blocks.model,
        {t_95} * sqrt(count(*) / (count(*) - 1)) AS factor,
        factor * sqrt(sum((blocks.loss - naive_ratio * blocks.naive) ^ 2)) / any_value(whole.naive)
            AS naive_error,
        factor * sqrt(sum((blocks.loss - seasonal_ratio * blocks.seasonal) ^ 2))
            / any_value(whole.seasonal) AS seasonal_error
    FROM blocks
    JOIN whole ON blocks.metric = whole.metric AND blocks.model = whole.model
        AND blocks.bucket IS NOT DISTINCT FROM whole.bucket
    GROUP BY kind, blocks.metric, blocks.bucket, blocks.model
    HAVING count(*) >= 3
),
widest AS (
    SELECT
        metric, bucket, model, max(naive_error) AS naive_error,
        max(seasonal_error) AS seasonal_error
    FROM errors
    GROUP BY metric, bucket, model
)
SELECT
    whole.metric, whole.bucket, whole.model,
    1 - naive_ratio AS skill,
    1 - naive_ratio - naive_error AS skill_low,
    1 - naive_ratio + naive_error AS skill_high,
    1 - seasonal_ratio AS seasonal_skill,
    1 - seasonal_ratio - seasonal_error AS seasonal_skill_low,
    1 - seasonal_ratio + seasonal_error AS seasonal_skill_high,
    1 - model_ratio AS model_skill,
    loss / targets AS loss,
    servers, days, cases, targets
FROM whole
LEFT JOIN widest ON whole.metric = widest.metric AND whole.model = widest.model
    AND whole.bucket IS NOT DISTINCT FROM widest.bucket
