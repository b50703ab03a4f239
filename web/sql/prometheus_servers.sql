-- Servers with the labels of their series.
SELECT server, profile, site FROM {servers} AS servers ORDER BY server
