-- What people did from $start to $stop that changes what happens; of an episode: to its server.
SELECT
    coalesce(marks.server, episodes.server) AS server, marks.pattern, marks.metric,
    coalesce(starts_at, ts) AS start, greatest(coalesce(ends_at, starts_at, ts), start) AS stop
FROM marks
LEFT JOIN (
    SELECT episode, any_value(server) AS server FROM alert_events GROUP BY episode
) AS episodes USING (episode)
WHERE list_contains($kinds, kind) AND coalesce(starts_at, ts) < $stop
    AND coalesce(ends_at, starts_at, ts) >= $start
    AND (marks.episode IS NULL OR marks.server IS NOT NULL OR episodes.server IS NOT NULL)
ORDER BY ALL
