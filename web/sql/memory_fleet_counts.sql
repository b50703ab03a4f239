-- In memory: the servers by health.
SELECT
    health, count(*) AS servers, count(*) FILTER (reporting) AS reporting,
    count(*) FILTER (blind) AS blind, count(change) AS changed
FROM fleet
GROUP BY health
