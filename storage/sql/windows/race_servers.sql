-- Servers with a state of the race of $model that was written after $since.
SELECT DISTINCT server FROM race WHERE model = $model AND ts > $since AND ts <= $now
