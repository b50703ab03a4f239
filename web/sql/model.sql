-- The newest event of a model file as of $now: serving or refused.
SELECT arg_max({'model': model, 'event': event, 'path': path, 'detail': detail}, ts) AS newest
FROM models
WHERE ts <= $now
