-- The newest step of each message of the 7 days before $now, what failed first.
WITH messages AS (
    SELECT
        delivery, action, channel, episode, min(ts) AS queued_at, max(ts) AS ts,
        arg_max({'outcome': outcome, 'attempt': attempt, 'status': status, 'next_at': next_at,
                 'detail': detail, 'kind': kind}, ts) AS newest,
        min(ts) FILTER (outcome = 'sent') AS sent_at
    FROM deliveries
    WHERE ts > $now - INTERVAL 7 DAY AND ts <= $now
    GROUP BY delivery, action, channel, episode
)
SELECT *, count(*) OVER () AS total,
    count(*) FILTER (newest.outcome IN ('failed', 'refused')) OVER () AS troubled
FROM messages
ORDER BY newest.outcome NOT IN ('failed', 'refused'), ts DESC
LIMIT 50
