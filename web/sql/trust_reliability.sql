-- What the odds said and what came, of the newest fit until $now: a row for each lead.
SELECT lead_minutes, ts, events, cases, serves, base_rate, brier, brier_other, ece,
    said, came, came_low, came_high, bin_blocks
FROM odds_models
WHERE kind = 'calibration' AND ts <= $now
QUALIFY ts = max(ts) OVER ()
ORDER BY lead_minutes
