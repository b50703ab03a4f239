-- The newest 20 switches of the simulated fleet's scenario as of $now.
SELECT ts, scenario FROM scenarios WHERE ts <= $now ORDER BY ts DESC LIMIT 20
