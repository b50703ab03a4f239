-- The fleet's drift of the 14 days before $now, the newest check last.
SELECT ts, exp(log_loss_ratio) AS loss_ratio, exp(lower_bound) AS at_least, over_limit, drifting,
    prediction_error, distribution_shift, feature_drift, anomaly_rate, combined, why
FROM drift
WHERE scope = 'fleet' AND ts > $now - INTERVAL 14 DAY AND ts <= $now
ORDER BY ts
