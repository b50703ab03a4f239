-- The newest 20 events of the configuration file of $source as of $now.
SELECT ts, kind, event, detail FROM sources
WHERE source = $source AND ts <= $now
ORDER BY ts DESC
LIMIT 20
