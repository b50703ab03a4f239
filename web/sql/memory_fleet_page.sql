-- In memory: the servers that match a filter, in the order of the fleet.
SELECT *, count(*) OVER () AS matching
FROM fleet
WHERE contains(lower(server), $q)
    AND ($profile = '' OR profile = $profile)
    AND ($severity = '' OR health = $severity)
    AND ($site = '' OR site = $site)
    AND ($tag = '' OR list_contains(tags, $tag))
    AND (NOT $changed OR change IS NOT NULL)
LIMIT $show
