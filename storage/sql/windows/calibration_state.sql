-- The newest state of the calibration of $model, of hours that ended after $since.
SELECT *
FROM calibration
WHERE model = $model AND ts = (
    SELECT max(ts) FROM calibration
    WHERE model = $model AND scope = 'fleet' AND ts > $since AND ts <= $now
)
