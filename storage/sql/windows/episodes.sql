-- The newest event of each alert episode that is open at $now, or ended after $since.
WITH newest AS (
    SELECT episode, max(ts) AS ts
    FROM alert_events
    WHERE ts <= $now
    GROUP BY episode
    HAVING arg_max(phase, ts) NOT IN ('over', 'withdrawn', 'averted') OR max(ts) >= $since
)
SELECT alert_events.*
FROM alert_events
JOIN newest USING (episode, ts)
ORDER BY episode, event
