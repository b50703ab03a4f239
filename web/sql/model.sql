-- What was last told of a model file at $now: serving or refused.
SELECT arg_max({'model': model, 'event': event, 'path': path, 'detail': detail}, ts) AS told
FROM models
WHERE ts <= $now
