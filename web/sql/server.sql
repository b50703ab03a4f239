-- One server as it stands.
SELECT * FROM fleet_now WHERE server = $server
