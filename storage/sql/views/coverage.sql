-- Share of targets of the last 7 days inside the bands, as served and as the model made them.
-- Series that do not move are left out. Intervals are as those of `skill`.
WITH cases AS MATERIALIZED (
    SELECT
        metric, bucket, model, server, block, sum(moving)::DOUBLE AS moving,
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
days AS (
    SELECT
        metric, bucket, model, sum(moving) AS moving, sum(served_50) AS served_50,
        sum(served_80) AS served_80, sum(served_96) AS served_96, sum(own_50) AS own_50,
        sum(own_80) AS own_80, sum(own_96) AS own_96
    FROM cases
    GROUP BY metric, bucket, model, epoch(block)::BIGINT // 86400
),
sums AS (
    SELECT
        metric, bucket, model, sum(moving) AS moving, sum(moving ^ 2) AS moving_2,
        coalesce(sum(replayed), 0) / sum(moving) AS replayed,
        [sum(served_50), sum(served_80), sum(served_96)] AS served,
        [sum(own_50), sum(own_80), sum(own_96)] AS own,
        [sum(served_50 ^ 2), sum(served_80 ^ 2), sum(served_96 ^ 2)] AS served_2,
        [sum(own_50 ^ 2), sum(own_80 ^ 2), sum(own_96 ^ 2)] AS own_2,
        [sum(served_50 * moving), sum(served_80 * moving), sum(served_96 * moving)] AS served_moving,
        [sum(own_50 * moving), sum(own_80 * moving), sum(own_96 * moving)] AS own_moving,
        count(DISTINCT server) AS servers,
        count(DISTINCT epoch(block)::BIGINT // 86400) AS days, count(*) AS cases,
        CASE WHEN count(*) >= 3 THEN {t_95} * sqrt(count(*) / (count(*) - 1)) END AS factor
    FROM cases
    GROUP BY metric, bucket, model
),
daily AS (
    SELECT
        metric, bucket, model, sum(moving ^ 2) AS moving_2,
        [sum(served_50 ^ 2), sum(served_80 ^ 2), sum(served_96 ^ 2)] AS served_2,
        [sum(own_50 ^ 2), sum(own_80 ^ 2), sum(own_96 ^ 2)] AS own_2,
        [sum(served_50 * moving), sum(served_80 * moving), sum(served_96 * moving)] AS served_moving,
        [sum(own_50 * moving), sum(own_80 * moving), sum(own_96 * moving)] AS own_moving,
        CASE WHEN count(*) >= 3 THEN {t_95} * sqrt(count(*) / (count(*) - 1)) END AS factor
    FROM days
    GROUP BY metric, bucket, model
),
bands AS (
    SELECT
        sums.metric, sums.bucket, sums.model, sums.moving, replayed, servers, sums.days, cases,
        unnest([50, 80, 96]) AS band, unnest(range(1, 4)) AS i,
        sums.served[i] / moving AS r, sums.own[i] / moving AS s,
        greatest(
            sums.factor * sqrt(greatest(
                sums.served_2[i] - 2 * r * sums.served_moving[i] + r ^ 2 * sums.moving_2, 0)),
            daily.factor * sqrt(greatest(
                daily.served_2[i] - 2 * r * daily.served_moving[i] + r ^ 2 * daily.moving_2, 0))
        ) / moving AS served_error,
        greatest(
            sums.factor * sqrt(greatest(
                sums.own_2[i] - 2 * s * sums.own_moving[i] + s ^ 2 * sums.moving_2, 0)),
            daily.factor * sqrt(greatest(
                daily.own_2[i] - 2 * s * daily.own_moving[i] + s ^ 2 * daily.moving_2, 0))
        ) / moving AS own_error
    FROM sums
    JOIN daily ON sums.model = daily.model AND sums.metric IS NOT DISTINCT FROM daily.metric
        AND sums.bucket IS NOT DISTINCT FROM daily.bucket
)
SELECT
    metric, bucket, model, band,
    r AS inside,
    CASE WHEN served_error >= 0 THEN greatest(r - served_error, 0) END AS inside_low,
    CASE WHEN served_error >= 0 THEN least(r + served_error, 1) END AS inside_high,
    s AS inside_model,
    CASE WHEN own_error >= 0 THEN greatest(s - own_error, 0) END AS inside_model_low,
    CASE WHEN own_error >= 0 THEN least(s + own_error, 1) END AS inside_model_high,
    servers, days, cases, CAST(moving AS BIGINT) AS targets, replayed
FROM bands
