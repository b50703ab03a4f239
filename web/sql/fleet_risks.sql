-- The newest risk of each server since $since, as of $now, and its severity 10 minutes before.
SELECT
    *,
    arg_max(severity, issued_at) FILTER (issued_at <= $now - INTERVAL 10 MINUTE)
        OVER (PARTITION BY server) AS severity_before
FROM risks
WHERE issued_at > $since AND issued_at <= $now
QUALIFY row_number() OVER (PARTITION BY server ORDER BY issued_at DESC) = 1
