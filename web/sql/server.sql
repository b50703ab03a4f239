-- One server as it stood at $now.
SELECT * FROM {fleet_now} AS fleet_now WHERE server = $server
