-- The newest step of each message of one episode, or of its group, until $now, the first one first.
SELECT
    delivery, action, channel, level, min(ts) AS queued_at, max(ts) AS ts,
    arg_max({'outcome': outcome, 'attempt': attempt, 'status': status, 'next_at': next_at,
             'detail': detail, 'kind': kind}, ts) AS newest,
    min(ts) FILTER (outcome = 'sent') AS sent_at
FROM deliveries
WHERE ts <= $now AND episode IN (
    SELECT coalesce(group_id, episode) FROM alert_events WHERE episode = $episode AND ts <= $now
)
GROUP BY delivery, action, channel, level
ORDER BY queued_at, channel
