-- Samples later than $latest, of a clock that was ahead: of how many servers, and the last of them.
SELECT count(DISTINCT server) AS servers, max(ts) AS last
FROM metrics
WHERE ts > $latest
