-- Share of targets inside each band over the 7 days before $now, before and after calibration.
SELECT * FROM {coverage} AS coverage ORDER BY metric NULLS FIRST, bucket NULLS FIRST, band
