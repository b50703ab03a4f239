-- Loss of served forecasts of the last 7 days relative to naive ones, with 95 % intervals.
-- Intervals are those of a ratio of sums over blocks, by the wider of two kinds of blocks: a server
-- and 8 h, and whole days, in which a fleet moves together. The sum of squares of a − r b over
-- blocks is that of a², less 2 r times that of a b, and r² times that of b².
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
days AS (
    SELECT
        metric, bucket, model, sum(loss) AS loss, sum(naive) AS naive, sum(seasonal) AS seasonal
    FROM cases
    GROUP BY metric, bucket, model, epoch(block)::BIGINT // 86400
),
sums AS (
    SELECT
        metric, bucket, model, CAST(sum(targets) AS BIGINT) AS targets,
        coalesce(sum(replayed), 0) / sum(targets) AS replayed,
        sum(loss) AS loss, sum(loss_model) AS loss_model, sum(naive) AS naive,
        sum(seasonal) AS seasonal, sum(loss ^ 2) AS loss_2,
        sum(loss * naive) AS loss_naive, sum(naive ^ 2) AS naive_2,
        sum(loss * seasonal) AS loss_seasonal, sum(seasonal ^ 2) AS seasonal_2,
        count(DISTINCT server) AS servers,
        count(DISTINCT epoch(block)::BIGINT // 86400) AS days, count(*) AS cases,
        CASE WHEN count(*) >= 3 THEN {t_95} * sqrt(count(*) / (count(*) - 1)) END AS factor
    FROM cases
    GROUP BY metric, bucket, model
),
daily AS (
    SELECT
        metric, bucket, model, sum(loss ^ 2) AS loss_2, sum(loss * naive) AS loss_naive,
        sum(naive ^ 2) AS naive_2, sum(loss * seasonal) AS loss_seasonal,
        sum(seasonal ^ 2) AS seasonal_2,
        CASE WHEN count(*) >= 3 THEN {t_95} * sqrt(count(*) / (count(*) - 1)) END AS factor
    FROM days
    GROUP BY metric, bucket, model
),
ratios AS (
    SELECT
        sums.*, sums.loss / nullif(naive, 0) AS r, sums.loss / nullif(seasonal, 0) AS s,
        greatest(
            sums.factor * sqrt(greatest(
                sums.loss_2 - 2 * r * sums.loss_naive + r ^ 2 * sums.naive_2, 0)),
            daily.factor * sqrt(greatest(
                daily.loss_2 - 2 * r * daily.loss_naive + r ^ 2 * daily.naive_2, 0))
        ) / naive AS naive_error,
        greatest(
            sums.factor * sqrt(greatest(
                sums.loss_2 - 2 * s * sums.loss_seasonal + s ^ 2 * sums.seasonal_2, 0)),
            daily.factor * sqrt(greatest(
                daily.loss_2 - 2 * s * daily.loss_seasonal + s ^ 2 * daily.seasonal_2, 0))
        ) / seasonal AS seasonal_error
    FROM sums
    JOIN daily ON sums.metric = daily.metric AND sums.model = daily.model
        AND sums.bucket IS NOT DISTINCT FROM daily.bucket
)
SELECT
    metric, bucket, model,
    1 - r AS skill, 1 - r - naive_error AS skill_low, 1 - r + naive_error AS skill_high,
    1 - s AS seasonal_skill,
    1 - s - seasonal_error AS seasonal_skill_low, 1 - s + seasonal_error AS seasonal_skill_high,
    1 - loss_model / nullif(naive, 0) AS model_skill,
    loss / targets AS loss,
    servers, days, cases, targets, replayed
FROM ratios
