-- Scores of served forecasts of the last 7 days, summed in independent cases: a server and 8 hours.
SELECT
    server, metric, bucket, model, time_bucket(INTERVAL 8 HOUR, ts) AS block,
    CAST(sum(targets) AS BIGINT) AS targets,
    CAST(sum(targets) FILTER (replayed) AS BIGINT) AS replayed,
    CAST(sum(targets) FILTER (within_10 IS NOT NULL) AS BIGINT) AS scaled,
    CAST(sum(moving) AS BIGINT) AS moving,
    CAST(sum(within_10) AS BIGINT) AS within_10,
    CAST(sum(inside_50) AS BIGINT) AS inside_50,
    CAST(sum(inside_80) AS BIGINT) AS inside_80,
    CAST(sum(inside_96) AS BIGINT) AS inside_96,
    CAST(sum(inside_50_model) AS BIGINT) AS inside_50_model,
    CAST(sum(inside_80_model) AS BIGINT) AS inside_80_model,
    CAST(sum(inside_96_model) AS BIGINT) AS inside_96_model,
    sum(loss) AS loss,
    sum(loss_model) AS loss_model,
    sum(error) AS error,
    sum(error_naive) AS error_naive,
    sum(error_seasonal) AS error_seasonal
FROM scores
WHERE ts > {now} - INTERVAL 7 DAY AND ts <= {now} AND targets > 0 AND shadow = 0
GROUP BY ALL
