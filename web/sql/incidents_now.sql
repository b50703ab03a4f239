-- What the simulator injected and what has not ended as of $now: the first 50 by their end. No rule
-- and no model reads this table.
SELECT
    incident_id, server, kind, scenario, starts_at, peaks_at, ends_at, metrics,
    count(*) OVER () AS total
FROM truth
WHERE starts_at <= $now AND ends_at > $now
ORDER BY ends_at, server
LIMIT 50
