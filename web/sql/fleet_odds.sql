-- The newest chance that any server breaches a critical level soon, as of $now.
SELECT issued_at, p_30m, p_480m, expected_480m, checked
FROM fleet_odds
WHERE issued_at > $now - INTERVAL 30 MINUTE AND issued_at <= $now
ORDER BY issued_at DESC
LIMIT 1
