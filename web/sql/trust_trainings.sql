-- Trainings until $now, the newest first: why, how far, and what came of them.
SELECT
    training, min(ts) AS began_at, max(ts) AS ts, arg_max(event, ts) AS event,
    arg_max(cause, ts) AS cause, arg_max(reason, ts) AS reason, max(progress) AS progress,
    max(model) AS model
FROM trainings
WHERE ts <= $now
GROUP BY training
ORDER BY ts DESC
LIMIT 10
