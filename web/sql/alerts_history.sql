-- Episodes that ended by $now, the newest first, of one outcome, rule or server where given.
SELECT *, count(*) OVER () AS total
FROM {alerts} AS alerts
WHERE ended_at IS NOT NULL AND ($outcome = '' OR outcome = $outcome)
    AND ($rule = '' OR rule = $rule) AND ($server = '' OR contains(lower(server), lower($server)))
ORDER BY ended_at DESC, episode
LIMIT $rows OFFSET $skip
