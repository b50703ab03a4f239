-- Of each quarter of an hour, the issue of most forecasts that reach into the hour from $start.
SELECT issued_at
FROM forecasts
WHERE issued_at > $first AND issued_at < $stop AND server >= $from AND server <= $to
GROUP BY issued_at
QUALIFY row_number() OVER (
    PARTITION BY time_bucket(INTERVAL 15 MINUTE, issued_at) ORDER BY count(*) DESC, issued_at
) = 1
ORDER BY issued_at
