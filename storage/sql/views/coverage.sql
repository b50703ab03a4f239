-- Share of targets of the last 7 days inside the bands, as served and as the model made them.
-- Series that do not move are left out. Intervals are as those of `skill`.
WITH cases AS (
    SELECT
        CASE WHEN series.all_of_them THEN NULL ELSE metric END AS metric,
        CASE WHEN leads.all_of_them THEN NULL ELSE bucket END AS bucket, model, server, block,
        time_bucket(INTERVAL 1 DAY, block) AS day, sum(moving) AS moving,
        [sum(inside_50), sum(inside_80), sum(inside_96)] AS served,
        [sum(inside_50_model), sum(inside_80_model), sum(inside_96_model)] AS own
    FROM
        {score_blocks} AS blocks, (VALUES (true), (false)) AS series (all_of_them),
        (VALUES (true), (false)) AS leads (all_of_them)
    WHERE moving > 0
    GROUP BY ALL
),
banded AS (
    SELECT
        metric, bucket, model, server, block, day, moving,
        unnest([50, 80, 96]) AS band, unnest(served) AS served, unnest(own) AS own
    FROM cases
),
whole AS (
    SELECT
        metric, bucket, model, band, sum(moving) AS moving,
        sum(served) / sum(moving) AS served_share, sum(own) / sum(moving) AS own_share,
        count(DISTINCT server) AS servers, count(DISTINCT day) AS days, count(*) AS cases
    FROM banded
    GROUP BY metric, bucket, model, band
),
blocks AS (
    SELECT 'case' AS kind, metric, bucket, model, band, moving, served, own FROM banded
    UNION ALL
    SELECT 'day', metric, bucket, model, band, sum(moving), sum(served), sum(own)
    FROM banded
    GROUP BY metric, bucket, model, band, day
),
errors AS (
    SELECT
        kind, blocks.metric, blocks.bucket, blocks.model, blocks.band,
        {t_95} * sqrt(count(*) / (count(*) - 1)) / any_value(whole.moving) AS factor,
        factor * sqrt(sum((blocks.served - served_share * blocks.moving) ^ 2)) AS served_error,
        factor * sqrt(sum((blocks.own - own_share * blocks.moving) ^ 2)) AS own_error
    FROM blocks
    JOIN whole ON blocks.model = whole.model AND blocks.band = whole.band
        AND blocks.metric IS NOT DISTINCT FROM whole.metric
        AND blocks.bucket IS NOT DISTINCT FROM whole.bucket
    GROUP BY kind, blocks.metric, blocks.bucket, blocks.model, blocks.band
    HAVING count(*) >= 3
),
widest AS (
    SELECT
        metric, bucket, model, band, max(served_error) AS served_error, max(own_error) AS own_error
    FROM errors
    GROUP BY metric, bucket, model, band
)
SELECT
    whole.metric, whole.bucket, whole.model, whole.band,
    served_share AS inside,
    greatest(served_share - served_error, 0) AS inside_low,
    least(served_share + served_error, 1) AS inside_high,
    own_share AS inside_model,
    greatest(own_share - own_error, 0) AS inside_model_low,
    least(own_share + own_error, 1) AS inside_model_high,
    servers, days, cases, CAST(moving AS BIGINT) AS targets
FROM whole
LEFT JOIN widest ON whole.model = widest.model AND whole.band = widest.band
    AND whole.metric IS NOT DISTINCT FROM widest.metric
    AND whole.bucket IS NOT DISTINCT FROM widest.bucket
