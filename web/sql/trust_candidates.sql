-- The newest event of each model file until $now, and the verdict on it.
SELECT
    model, max(ts) AS ts, arg_max(event, ts) AS event, arg_max(path, ts) AS path,
    arg_max(detail, ts) AS detail,
    arg_max(json_extract_string(card, '$.created_at'), ts) FILTER (card IS NOT NULL) AS created_at,
    arg_max(json_extract_string(card, '$.scores.gate.why'), ts) FILTER (card IS NOT NULL) AS verdict
FROM models
WHERE ts <= $now
GROUP BY model
ORDER BY ts DESC
LIMIT 50
