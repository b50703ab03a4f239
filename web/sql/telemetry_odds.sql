-- Newest odds of each server and metric, not older than half an hour, and how far away a breach is.
SELECT
    server, metric, issued_at, checked, p_30m, p_60m, p_120m, p_240m, p_480m,
    epoch(earliest) AS earliest, epoch(likely) AS likely, epoch(latest) AS latest
FROM odds
WHERE issued_at > $now - INTERVAL 30 MINUTE AND issued_at <= $now AND replayed IS NOT TRUE
QUALIFY issued_at = max(issued_at) OVER (PARTITION BY server)
ORDER BY server, metric
