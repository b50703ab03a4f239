-- The newest 50 commits of $source with refused rows or a note in 7 days as of $now, and how many
-- there are.
SELECT
    ts, table_name, rows_in, rows_committed, rows_refused, values_clamped, refusals,
    count(*) OVER () AS total, sum(rows_refused) OVER ()::BIGINT AS refused_total
FROM segments
WHERE function = $source AND ts > $now - INTERVAL 7 DAY AND ts <= $now
    AND (rows_refused > 0 OR len(refusals) > 0)
ORDER BY ts DESC
LIMIT 50
