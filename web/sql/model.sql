-- What was last told of a model file: serving or refused.
SELECT arg_max({'model': model, 'event': event, 'path': path, 'detail': detail}, ts) AS told FROM models
