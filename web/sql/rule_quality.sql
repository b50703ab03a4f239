-- What came of the warnings of each rule in the 30 days before $now.
SELECT * FROM {alert_quality} AS quality ORDER BY rule
