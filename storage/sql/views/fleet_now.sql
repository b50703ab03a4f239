-- The fleet now: last sample, length of the context, newest risk and state of the newest forecast.
WITH recent AS (
    SELECT server, max(ts) AS ts
    FROM metrics
    WHERE ts > {now} - INTERVAL 1 HOUR AND ts <= {now}
    GROUP BY server
),
steps AS (
    SELECT
        server, max(ts) AS ts,
        CAST(count(*) FILTER (ts >= {now} - INTERVAL 24 HOUR) AS INTEGER) AS context_steps
    FROM metrics_5m
    WHERE ts > {now} - INTERVAL 8 DAY AND ts <= {now} - INTERVAL 5 MINUTE
    GROUP BY server
),
risk AS (
    SELECT * FROM risks
    WHERE issued_at > {now} - INTERVAL 8 DAY AND issued_at <= {now}
    QUALIFY row_number() OVER (PARTITION BY server ORDER BY issued_at DESC) = 1
),
forecast AS (
    SELECT
        server, max(issued_at) AS forecast_at, max(made_at) AS forecast_made_at,
        CASE
            WHEN bool_or(state = 'ok') THEN 'ok'
            WHEN bool_or(state = 'early') THEN 'early'
            ELSE 'abstained'
        END AS forecast_state,
        mode(why) FILTER (state != 'ok') AS forecast_why
    FROM (
        SELECT * FROM forecasts
        WHERE issued_at > {now} - INTERVAL 1 DAY AND issued_at <= {now}
        QUALIFY issued_at = max(issued_at) OVER (PARTITION BY server)
    )
    GROUP BY server
)
SELECT
    servers.server, servers.profile, servers.site, servers.cores,
    servers.disk_volume, servers.net_links, servers.first_seen,
    coalesce(recent.ts, steps.ts) AS last_seen,
    date_diff('second', coalesce(recent.ts, steps.ts), {now}) AS age_seconds,
    coalesce(steps.context_steps, 0) AS context_steps,
    risk.* EXCLUDE (server, issued_at), risk.issued_at AS risk_at,
    forecast.* EXCLUDE (server)
FROM {servers} AS servers
LEFT JOIN recent USING (server)
LEFT JOIN steps USING (server)
LEFT JOIN risk USING (server)
LEFT JOIN forecast USING (server)
