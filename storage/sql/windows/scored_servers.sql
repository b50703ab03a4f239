-- How many servers have scores of the hour from $hour on, and how many samples.
SELECT
    (SELECT count(DISTINCT server) FROM scores WHERE ts = $hour) AS scored,
    (SELECT count(DISTINCT server) FROM metrics_5m WHERE ts >= $hour AND ts < $stop) AS sampled
