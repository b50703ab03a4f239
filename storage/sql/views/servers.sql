-- Every server with its newest facts.
-- A row of 1970 has the profile by host name: whatever a record states is newer.
SELECT
    server,
    coalesce(arg_max(profile, ts) FILTER (profile IS NOT NULL), 'generic') AS profile,
    arg_max(site, ts) FILTER (site IS NOT NULL) AS site,
    arg_max(cores, ts) FILTER (cores IS NOT NULL) AS cores,
    arg_max(disk_volume, ts) FILTER (disk_volume IS NOT NULL) AS disk_volume,
    arg_max(net_links, ts) FILTER (net_links IS NOT NULL) AS net_links,
    min(ts) FILTER (ts > TIMESTAMPTZ '1970-01-01 00:00:00+00') AS first_seen
FROM server_facts
WHERE ts <= {until}
GROUP BY server
