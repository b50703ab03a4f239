"""The metrics that /metrics exposes: name, type, help text and labels of each."""

from web.telemetry.exposition import Measure

__all__ = ["MEASURES"]

MEASURES = (
    Measure("hoursight_up", "gauge", "1 when the lake can be read."),
    Measure("hoursight_lake_state", "gauge", "1 for the state that the lake is in.", ("state",)),
    Measure("hoursight_build_info", "gauge", "Always 1: what is installed.", ("version", "python")),
    Measure("hoursight_model_info", "gauge", "Always 1: the model in use.", ("model",)),
    Measure("hoursight_model_refused", "gauge", "1 when the model file was refused."),
    Measure("hoursight_commits_total", "counter", "Commits of segments."),
    Measure("hoursight_last_commit_timestamp_seconds", "gauge", "When the writer last committed."),
    Measure("hoursight_segments_total", "counter", "Segments by outcome.", ("outcome",)),
    Measure("hoursight_rows_total", "counter", "Rows committed by table.", ("table",)),
    Measure("hoursight_inbox_segments", "gauge", "Segments that wait for the writer."),
    Measure("hoursight_inbox_bytes", "gauge", "Size of the segments that wait."),
    Measure("hoursight_inbox_oldest_age_seconds", "gauge", "Age of the oldest segment that waits."),
    Measure("hoursight_pending_bytes", "gauge", "Size of pushes that are not in a segment yet."),
    Measure("hoursight_rejected_segments", "gauge", "Files in the folder rejected."),
    Measure("hoursight_damaged_files", "gauge", "Damaged files of the lake that were put aside."),
    Measure(
        "hoursight_scrub_checked_bytes", "gauge",
        "Size of the lake's files that were checked in the present round.",
    ),
    Measure("hoursight_scrub_total_bytes", "gauge", "Size of the files to be checked in a round."),
    Measure(
        "hoursight_scrub_last_round_timestamp_seconds", "gauge",
        "When all files of the lake had been checked.",
    ),
    Measure("hoursight_servers", "gauge", "Servers that are known."),
    Measure(
        "hoursight_servers_reporting", "gauge", "Servers with a sample of the last 5 minutes."
    ),
    Measure("hoursight_newest_sample_age_seconds", "gauge", "Age of the newest sample."),
    Measure(
        "hoursight_source_lag_seconds", "gauge", "Age of the newest sample by source.", ("source",)
    ),
    Measure(
        "hoursight_source_rows_total", "counter", "Samples committed by source.", ("source",)
    ),
    Measure(
        "hoursight_source_refused_total", "counter", "Rows and values refused by source.",
        ("source",),
    ),
    Measure(
        "hoursight_source_clamped_total", "counter",
        "Values just outside their range, stored as its bound, by source.", ("source",),
    ),
    Measure(
        "hoursight_source_repeated_total", "counter",
        "Values of a source that the lake had already.", ("source",),
    ),
    Measure("hoursight_forecast_age_seconds", "gauge", "Age of the newest forecast."),
    Measure(
        "hoursight_function_runs_total", "counter", "Runs by function and outcome.",
        ("function", "outcome"),
    ),
    Measure(
        "hoursight_function_duration_seconds", "summary", "Duration of runs by function.",
        ("function",),
    ),
    Measure(
        "hoursight_function_cpu_seconds_total", "counter", "CPU time of runs by function.",
        ("function",),
    ),
    Measure(
        "hoursight_function_failures_in_a_row", "gauge",
        "Failures since the last good run, within a day.", ("function",),
    ),
    Measure(
        "hoursight_functions_suspended", "gauge",
        "Functions that failed 5 times in a row and run every 10 minutes only.",
    ),
    Measure("hoursight_process_up", "gauge", "1 when the process runs.", ("process",)),
    Measure("hoursight_process_starts_total", "counter", "Starts of the process.", ("process",)),
    Measure(
        "hoursight_process_resident_memory_bytes", "gauge",
        "Resident memory of the process and its children.", ("process",),
    ),
    Measure(
        "hoursight_process_cpu_seconds_total", "counter",
        "CPU time of the process and its children.", ("process",),
    ),
    Measure(
        "hoursight_key_requests_total", "counter",
        "Requests by API key since the site started.", ("key",),
    ),
    Measure(
        "hoursight_refused_requests_total", "counter",
        "Requests refused for their key, origin, form or a limit, by reason.", ("reason",),
    ),
    Measure(
        "hoursight_lake_snapshots_total", "counter",
        "Snapshots that the lake has made, by commits and by maintenance.",
    ),
    Measure(
        "hoursight_query_memory_bytes", "gauge",
        "Memory that the site's queries and their cache of the lake's files use.",
    ),
    Measure(
        "hoursight_query_memory_limit_bytes", "gauge",
        "Limit of it, [lake] reader_memory in the settings.",
    ),
    Measure(
        "hoursight_breach_probability", "gauge",
        "Odds, 0 to 1, that the metric breaches its critical level within this time.",
        ("server", "metric", "within"),
    ),
    Measure(
        "hoursight_runway_seconds", "gauge",
        "Time left until a breach: earliest (10 % are sooner), likely (half), latest (90 %).",
        ("server", "metric", "bound"),
    ),
    Measure(
        "hoursight_odds_checked", "gauge",
        "1 when the odds of the metric were checked on 30 breaches of this fleet or more.",
        ("metric",),
    ),
    Measure("hoursight_lake_files", "gauge", "Parquet files of the lake by table.", ("table",)),
    Measure("hoursight_lake_bytes", "gauge", "Size of these files by table.", ("table",)),
)  # fmt: skip
