-- In memory: the breaches that are expected within 8 hours after $now, worst first.
SELECT
    server, breach_metric, breach_earliest, breach_likely, breach_latest, p_breach_480m, health,
    count(*) OVER () AS expected
FROM fleet
WHERE reporting AND NOT blind AND p_breach_480m >= $chance AND breach_metric IS NOT NULL
    AND breach_earliest < $now + INTERVAL 8 HOUR
    AND coalesce(breach_latest, $now + INTERVAL 8 HOUR) >= $now
ORDER BY level DESC, breach_likely NULLS LAST, breach_earliest, server
LIMIT $show
