-- Profiles and servers that stood out in the newest check until $now, the worst first.
WITH newest AS (
    SELECT * FROM drift
    WHERE ts > $now - INTERVAL 1 DAY AND ts <= $now AND scope != 'fleet'
    QUALIFY ts = max(ts) OVER ()
)
SELECT scope, name, exp(log_loss_ratio) AS loss_ratio, exp(lower_bound) AS at_least, drifting,
    distribution_shift, why
FROM newest
WHERE over_limit > 0 OR distribution_shift >= 0.3
ORDER BY drifting DESC, lower_bound DESC NULLS LAST, distribution_shift DESC
LIMIT 20
