-- Skill of each metric and lead over the 7 days before $now.
SELECT * FROM {skill} AS skill ORDER BY metric, bucket NULLS FIRST
