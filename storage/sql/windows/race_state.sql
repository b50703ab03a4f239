-- The newest state of the race of $model for each server from $first to $last, after $since.
SELECT *
FROM race
WHERE model = $model AND ts > $since AND ts <= $now AND server >= $first AND server <= $last
QUALIFY ts = max(ts) OVER (PARTITION BY server)
