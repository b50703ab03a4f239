-- In memory: the groups of the fleet, that with the worst server first.
SELECT
    label, count(*) AS servers, count(*) FILTER (reporting) AS reporting,
    count(*) FILTER (level >= $alarming) AS alarming, count(*) FILTER (blind) AS blind,
    arg_min(server, place) AS worst, arg_min(health, place) AS health,
    min(act_minutes) AS act_minutes, count(*) OVER () AS matching
FROM (
    SELECT
        *, row_number() OVER () AS place,
        unnest(CASE $by WHEN 'profile' THEN [profile] WHEN 'site' THEN [site]
            ELSE CASE WHEN len(tags) > 0 THEN tags ELSE [NULL] END END) AS label
    FROM fleet
)
GROUP BY label
ORDER BY min(place), label
LIMIT $show
