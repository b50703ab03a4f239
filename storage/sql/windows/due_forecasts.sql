-- Forecasts of the servers from $from to $to of some issues, of the steps from $start to $stop alone.
SELECT server, metric, issued_at, model, state, {whole}, {sliced}
FROM (
    SELECT
        *,
        greatest(date_diff('second', issued_at, $start) // 300, 0) + 1 AS first_step,
        least(date_diff('second', issued_at, $stop) // 300, {horizon}) AS last_step
    FROM forecasts
    WHERE issued_at IN ({issues}) AND server >= $from AND server <= $to
)
