-- Every server with its newest facts.
SELECT
    server,
    arg_max(profile, ts) AS profile,
    arg_max(site, ts) FILTER (site IS NOT NULL) AS site,
    arg_max(cores, ts) FILTER (cores IS NOT NULL) AS cores,
    min(ts) AS first_seen
FROM server_facts
WHERE ts <= {until}
GROUP BY server
