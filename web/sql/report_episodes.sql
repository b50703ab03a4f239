-- Episodes that opened from $since to $until, as of $now: breaches that were missed, then false ones.
SELECT episode, server, metric, outcome, opened_at, breached_at, ended_at, lead_minutes, why,
    count(*) OVER (PARTITION BY outcome) AS total
FROM {alerts} AS alerts
WHERE opened_at >= $since AND opened_at < $until AND outcome IN ('missed', 'wrong')
QUALIFY row_number() OVER (PARTITION BY outcome ORDER BY opened_at DESC) <= 25
ORDER BY outcome, opened_at DESC
