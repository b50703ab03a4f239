-- The oldest hour since $since whose scores of a model are not in the model's calibration yet.
WITH done AS (
    SELECT model, max(ts) AS ts
    FROM calibration
    WHERE ts > $since AND ts <= $now AND scope = 'fleet'
    GROUP BY model
)
SELECT scores.model, min(scores.ts) AS hour
FROM scores
LEFT JOIN done USING (model)
WHERE scores.ts >= $since AND scores.ts < $now AND scores.model != 'none'
    AND (done.ts IS NULL OR scores.ts >= done.ts)
GROUP BY scores.model
ORDER BY hour, scores.model
LIMIT 1
