-- In memory: the fleet as of $now, with what orders it. `level` is the severity, `act_minutes` the
-- time to act: the response time of the severity, or less when the breach may come sooner.
WITH joined AS (
    SELECT
        servers.server, servers.profile, servers.site, servers.cores, servers.disk_volume,
        servers.net_links, servers.first_seen,
        coalesce(live.ts, steps.last_step) AS last_seen,
        date_diff('second', coalesce(live.ts, steps.last_step), $now) AS age_seconds,
        coalesce(steps.context_steps, 0)::INTEGER AS context_steps,
        risks.* EXCLUDE (server, issued_at, severity_before), risks.issued_at AS risk_at,
        forecasts.* EXCLUDE (server),
        coalesce(live.cpu_idle_pct, cells.cpu_idle_pct, steps.cpu_idle_pct) AS cpu_idle_pct,
        coalesce(live.cpu_iowait_pct, cells.cpu_iowait_pct, steps.cpu_iowait_pct) AS cpu_iowait_pct,
        coalesce(live.mem_used_pct, cells.mem_used_pct, steps.mem_used_pct) AS mem_used_pct,
        coalesce(live.swap_used_pct, cells.swap_used_pct, steps.swap_used_pct) AS swap_used_pct,
        coalesce(live.load_average, cells.load_average, steps.load_average) AS load_average,
        tags.tags, risks.severity_before, episodes.episode_event
    FROM servers
    LEFT JOIN live USING (server)
    LEFT JOIN cells USING (server)
    LEFT JOIN steps USING (server)
    LEFT JOIN risks USING (server)
    LEFT JOIN forecasts USING (server)
    LEFT JOIN tags USING (server)
    LEFT JOIN episodes USING (server)
),
judged AS (
    SELECT
        *,
        coalesce(epoch($now) - epoch(last_seen) > $stale_s, true) AS late,
        late AND list_contains($loading, server) AS is_loading,
        CASE WHEN is_loading THEN NULL
            ELSE greatest(now_score, CASE WHEN $refused THEN NULL ELSE ahead_score END)
        END AS shown_score
    FROM joined
),
ranked AS (
    SELECT judged.*, severities.slug, severities.rank AS severity_rank, severities.respond
    FROM judged
    ASOF LEFT JOIN severities ON judged.shown_score >= severities.rank
)
SELECT
    * EXCLUDE (late, is_loading, shown_score, slug, severity_rank, respond),
    CASE
        WHEN is_loading THEN 'loading' WHEN late THEN 'silent' WHEN shown_score IS NULL THEN 'unscored'
        ELSE slug
    END AS health,
    CASE
        WHEN is_loading THEN $loading_rank WHEN late THEN greatest(severity_rank, $silent_rank)
        WHEN shown_score IS NULL THEN $unscored_rank ELSE severity_rank
    END AS level,
    coalesce(shown_score, 0) AS shown_score,
    CASE WHEN late OR respond IS NULL THEN NULL
        WHEN p_breach_480m >= $likely AND NOT $refused
        THEN least(respond, greatest(0, date_diff('second', $now, breach_earliest) / 60.0))
        ELSE respond
    END AS act_minutes,
    NOT late AS reporting,
    forecast_state IS NULL OR forecast_state = 'abstained' OR $refused AS blind,
    CASE
        WHEN first_seen > $now - INTERVAL 10 MINUTE THEN 'new'
        WHEN late AND last_seen > $now - INTERVAL 10 MINUTE - to_seconds($stale_s) THEN 'went silent'
        WHEN episode_event IS NOT NULL THEN 'alert ' || episode_event
        WHEN NOT late AND severity_before != severity THEN 'was ' || severity_before
    END AS change
FROM ranked
ORDER BY level DESC, act_minutes NULLS LAST, shown_score DESC, server
