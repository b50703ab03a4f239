-- On how many odds and breaches of this fleet the served odds were checked as of $now, by lead.
SELECT lead_minutes, max(events) AS breaches, max(cases) AS cases
FROM (
    SELECT * FROM odds_models
    WHERE kind = 'calibration' AND ts <= $now
    QUALIFY row_number() OVER (PARTITION BY metric_group, lead_minutes ORDER BY ts DESC) = 1
)
GROUP BY lead_minutes
ORDER BY lead_minutes
