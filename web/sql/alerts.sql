-- All episodes until $now: the open ones, then those that ended, the newest first.
SELECT * FROM {alerts} AS alerts
ORDER BY ended_at IS NOT NULL, opened_at DESC, episode
