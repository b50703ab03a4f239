-- In memory: the servers by health.
SELECT
    health, count(*) AS servers, count(*) FILTER (reporting) AS reporting,
    count(*) FILTER (blind) AS blind, count(change) AS changed,
    count(*) FILTER (reporting AND NOT blind) AS seeing
FROM fleet
GROUP BY health
