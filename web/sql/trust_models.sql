-- Which model served when until $now, and why; the newest first.
SELECT * FROM {model_history} AS history ORDER BY live_from DESC LIMIT 50
