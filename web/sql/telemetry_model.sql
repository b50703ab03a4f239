-- The newest model that served, and whether a model file was refused since.
SELECT
    arg_max(model, ts) FILTER (event = 'serving') AS model,
    arg_max(event, ts) FILTER (event IN ('serving', 'refused')) = 'refused' AS refused
FROM models
WHERE ts <= $now
