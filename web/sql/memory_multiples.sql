-- In memory: servers that match a filter with one metric, sorted by its value now, ahead or by its
-- change; $sign is -1 where low values are bad.
SELECT
    fleet.*, present, ahead, present - earlier AS change_1h, count(*) OVER () AS matching
FROM fleet
JOIN multiples USING (server)
LEFT JOIN multiples_ahead USING (server)
WHERE contains(lower(server), $q)
    AND ($profile = '' OR profile = $profile)
    AND ($severity = '' OR health = $severity)
    AND ($site = '' OR site = $site)
    AND ($tag = '' OR list_contains(tags, $tag))
    AND (NOT $changed OR change IS NOT NULL)
    AND present IS NOT NULL
ORDER BY
    $sign * CASE $sort WHEN 'ahead' THEN ahead WHEN 'change' THEN change_1h ELSE present END
        DESC NULLS LAST,
    server
LIMIT $show
