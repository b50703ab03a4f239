-- Episodes that belong to one: its cause, what it caused, and its group at the time, until $now.
WITH this AS (SELECT * FROM {alerts} AS alerts WHERE episode = $episode)
SELECT
    alerts.episode, alerts.server, alerts.metric, alerts.phase, alerts.opened_at, alerts.ended_at,
    CASE
        WHEN alerts.episode = this.caused_by THEN 'cause'
        WHEN alerts.caused_by = this.episode THEN 'effect'
        ELSE 'group'
    END AS relation
FROM {alerts} AS alerts, this
WHERE alerts.episode != this.episode AND (
    alerts.episode = this.caused_by OR alerts.caused_by = this.episode
    OR (alerts.group_key = this.group_key
        AND alerts.opened_at <= coalesce(this.ended_at, $now)
        AND coalesce(alerts.ended_at, $now) >= this.opened_at)
)
ORDER BY relation, alerts.opened_at
LIMIT 50
