-- Issues whose forecasts reach into the hour from $start; of each quarter and each hour the fullest.
WITH issues AS (
    SELECT
        issued_at, issued_at > $start - to_minutes({short}) AS is_short,
        row_number() OVER (
            PARTITION BY time_bucket(INTERVAL 15 MINUTE, issued_at)
            ORDER BY count(*) DESC, issued_at
        ) = 1 AS of_quarter,
        row_number() OVER (
            PARTITION BY time_bucket(INTERVAL 1 HOUR, issued_at) ORDER BY count(*) DESC, issued_at
        ) = 1 AS of_hour
    FROM forecasts
    WHERE issued_at > $first AND issued_at < $stop AND server >= $from AND server <= $to
    GROUP BY issued_at
)
SELECT issued_at, of_hour
FROM issues
WHERE of_hour OR (of_quarter AND is_short)
ORDER BY issued_at
