-- Every server with its newest facts.
-- A row of 1970 has the profile by host name: whatever a record states is newer. After this host's
-- clock was ahead, commits have times ahead of it: then a fact from the future counts where there is
-- no other.
SELECT
    server,
    coalesce(arg_max(profile, row(ts <= {now}, ts)) FILTER (profile IS NOT NULL), 'generic') AS profile,
    arg_max(site, row(ts <= {now}, ts)) FILTER (site IS NOT NULL) AS site,
    arg_max(cores, row(ts <= {now}, ts)) FILTER (cores IS NOT NULL) AS cores,
    arg_max(disk_volume, row(ts <= {now}, ts)) FILTER (disk_volume IS NOT NULL) AS disk_volume,
    arg_max(net_links, row(ts <= {now}, ts)) FILTER (net_links IS NOT NULL) AS net_links,
    least(min(ts) FILTER (ts > TIMESTAMPTZ '1970-01-01 00:00:00+00'), {now}) AS first_seen
FROM server_facts
WHERE ts <= {now} OR EXISTS (SELECT 1 FROM segments WHERE ts > {now} AND created_at <= {now})
GROUP BY server
