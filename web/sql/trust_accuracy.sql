-- Share of medians within 10 % of the scale over the 7 days before $now, all metrics together.
SELECT * FROM {accuracy} AS accuracy WHERE metric IS NULL ORDER BY bucket NULLS FIRST
