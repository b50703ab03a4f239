-- Time without a forecast in the 48 h before $now that forecasts are kept, by reason.
SELECT reason, sum(hours) AS hours, count(DISTINCT server) AS servers,
    count(DISTINCT metric) AS metrics
FROM {blind_time} AS blind
WHERE day >= date_trunc('day', $now - INTERVAL 48 HOUR)
GROUP BY reason
ORDER BY hours DESC
