-- Highest risk score of each half hour of the 24 h from $start on, of some servers.
SELECT
    server, CAST(floor((epoch(issued_at) - epoch($start)) / 1800) AS INTEGER) AS slot,
    max(score) AS score
FROM risks
WHERE issued_at >= $start AND issued_at < $start + INTERVAL 24 HOUR
    AND server IN (SELECT unnest($servers))
GROUP BY ALL
