"""What to do next, by the metric that is worst."""

from web.display.server_status import ServerStatus

__all__ = ["next_step", "worst_metric"]

NEXT_STEPS = {
    "cpu_idle_pct": "See which process takes the CPU (top); move or throttle its work.",
    "cpu_user_pct": "See which process takes the CPU (top); move or throttle its work.",
    "cpu_sys_pct": "See what keeps the kernel busy (pidstat -w, perf top): often network or forks.",
    "cpu_iowait_pct": "Find the slow or full disk and who writes to it (iostat -x 5, iotop).",
    "java_cpu_pct": "Look at the JVM: garbage collection first (jstat -gcutil), then hot threads.",
    "mem_used_pct": "Find the process that grows (ps --sort=-rss); restart it or add memory.",
    "swap_used_pct": "Memory is too small for what runs: find what grew (ps --sort=-rss), stop it.",
    "disk_usage_pct": "Free or grow the fullest volume (df -h, du -xh): logs first.",
    "net_in_mb_s": "See who sends (ss -tinp) and whether it is wanted; spread or limit it.",
    "net_out_mb_s": "See who is sent to (ss -tinp) and whether that is wanted; spread or limit it.",
    "back_close_wait": "The service leaves back-end sockets open (ss -t state close-wait): restart "
    "it, then mend its connection pool.",
    "front_close_wait": "The service leaves client sockets open (ss -t state close-wait): restart "
    "it, then find the handler that never closes.",
    "load_average": "See what waits to run (vmstat 5): CPU, disk or a queue; shed or move work.",
}
ANY_STEP = "Look at the reasons and charts below, worst first."
SILENT_STEP = (
    "See whether the host answers (ping, ssh) and whether its agent still sends; "
    "then whether its source answers."
)


def worst_metric(server: ServerStatus) -> str | None:
    """The metric to look at first: that of the likely breach, or of the strongest reason."""
    ahead_leads = (server.ahead_score or 0) > (server.now_score or 0)
    if ahead_leads and server.breach_metric:
        return server.breach_metric
    named = next((r.metric for r in server.reasons if r.metric), None)
    return named or server.breach_metric


def next_step(server: ServerStatus) -> str:
    """What to do next, in a sentence; empty when nobody has to do anything."""
    if server.silent:
        return SILENT_STEP
    if server.respond_within_minutes is None:
        return ""
    return NEXT_STEPS.get(worst_metric(server) or "", ANY_STEP)
