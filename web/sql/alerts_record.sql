-- What came of the episodes that opened from $since to $until, as of $now.
SELECT
    greatest($since, coalesce(
        (SELECT min(ts) FROM runs WHERE function = 'alert' AND ts <= $now),
        (SELECT min(ts) FROM alert_events WHERE ts <= $now)
    )) AS since,
    count(*) FILTER (metric IS NOT NULL AND opened_as = 'predicted') AS warned,
    count(*) FILTER (outcome = 'right') AS correct,
    count(*) FILTER (outcome = 'wrong') AS wrong,
    count(*) FILTER (outcome = 'withdrawn') AS withdrawn,
    count(*) FILTER (outcome = 'averted') AS averted,
    count(*) FILTER (outcome = 'open') AS still_open,
    count(*) FILTER (outcome = 'missed') AS missed,
    count(*) FILTER (metric IS NULL) AS silent_servers,
    median(lead_minutes) FILTER (outcome = 'right') AS median_lead_minutes
FROM {alerts} AS alerts
WHERE opened_at >= $since AND opened_at < $until
