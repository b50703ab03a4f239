-- Which model was live when, and why: one row a period; the newest has no end.
-- A period begins with the first forecasts of the model, and ends with those of the next one or with
-- a model file that cannot be used.
WITH changes AS (
    SELECT model, ts, event, path, lead(ts) OVER (ORDER BY ts) AS next_at
    FROM models
    WHERE event IN ('serving', 'refused') AND ts <= {now}
),
decisions AS (
    SELECT model, ts, event || ': ' || coalesce(detail, '') AS why
    FROM models
    WHERE event IN ('promoted', 'rolled back') AND ts <= {now}
)
SELECT
    changes.model, changes.ts AS live_from, changes.next_at AS live_until,
    coalesce(
        decisions.why,
        CASE changes.path WHEN 'shipped' THEN 'the model of the package' ELSE 'a file that was put there' END
    ) AS why
FROM changes
ASOF LEFT JOIN decisions ON changes.model = decisions.model AND changes.ts >= decisions.ts
WHERE changes.event = 'serving'
