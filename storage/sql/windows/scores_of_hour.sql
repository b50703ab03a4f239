-- The scores of $model of the hour from $hour on.
SELECT
    server, metric, bucket, targets, moving, inside_50, inside_80, inside_96,
    loss_calibrated, loss_context, loss_seasonal_band, loss_last_band
FROM scores
WHERE ts = $hour AND model = $model
