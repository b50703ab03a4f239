-- Forecasts of some issues for the steps from $start to $stop, of the servers from $from to $to.
SELECT server, metric, issued_at, model, state, first_step - 1 AS lead,
    last_step - first_step + 1 AS steps, {whole}, {sliced}
FROM (
    SELECT
        *,
        greatest(date_diff('second', issued_at, $start) // 300, 0) + 1 AS first_step,
        least(
            date_diff('second', issued_at, $stop) // 300,
            CASE WHEN issued_at IN ({long}) THEN {horizon} ELSE {short} END
        ) AS last_step
    FROM forecasts
    WHERE issued_at IN ({issues}) AND server >= $from AND server <= $to
        AND (p50 IS NULL OR len(p50) = {horizon})
)
