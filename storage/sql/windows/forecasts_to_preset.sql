-- Forecasts of $model by some servers, issued from $start on, each $each seconds.
SELECT server, metric, issued_at, {columns}
FROM forecasts
WHERE model = $model AND issued_at >= $start AND issued_at < $stop
    AND epoch(issued_at)::BIGINT % $each = 0 AND list_contains($servers, server)
