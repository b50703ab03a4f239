-- Silences that hold at $now: begun, not over, and not ended by an unsilence of the same target.
SELECT mark, ts, coalesce(pattern, server, episode) AS target, server, pattern, episode, metric,
    coalesce(starts_at, ts) AS starts_at, ends_at, made_by, note
FROM marks AS silences
WHERE kind = 'silence' AND ts <= $now AND coalesce(ends_at, 'infinity') > $now
    AND NOT EXISTS (
        SELECT 1 FROM marks AS ends
        WHERE ends.kind = 'unsilence' AND ends.ts >= silences.ts AND ends.ts <= $now
            AND ends.server IS NOT DISTINCT FROM silences.server
            AND ends.pattern IS NOT DISTINCT FROM silences.pattern
            AND ends.metric IS NOT DISTINCT FROM silences.metric
            AND ends.episode IS NOT DISTINCT FROM silences.episode
    )
ORDER BY ends_at NULLS FIRST, target
LIMIT 200
