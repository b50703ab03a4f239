"""Serving: how the model's quantiles are calibrated and blended on the scores of past forecasts."""
