-- All that happened to one episode until $now.
SELECT ts, event, phase, severity, value, p, channels, made_by, why, reasons
FROM alert_events
WHERE episode = $episode AND ts <= $now
ORDER BY ts, event
