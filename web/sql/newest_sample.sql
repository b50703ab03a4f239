-- When the newest sample of any server was measured.
SELECT coalesce(
    (SELECT max(ts) FROM metrics WHERE ts > now() - INTERVAL 1 HOUR),
    (SELECT max(ts) FROM metrics_5m WHERE ts > now() - INTERVAL 8 DAY)
) AS ts
