-- One server as of $now.
SELECT * FROM {fleet_now} AS fleet_now WHERE server = $server
