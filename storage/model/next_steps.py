"""Recommended next steps for an operator, by the metric that is in trouble."""

__all__ = ["NEXT_STEPS", "STALE_STEP"]

NEXT_STEPS = {
    "cpu_idle_pct": "Find the process that uses the CPU (top); move or throttle its work.",
    "cpu_user_pct": "Find the process that uses the CPU (top); move or throttle its work.",
    "cpu_sys_pct": "Find what keeps the kernel busy (pidstat -w, perf top): often network or "
    "forks.",
    "cpu_iowait_pct": "Find the slow or full disk and the process that writes to it (iostat -x 5, "
    "iotop).",
    "java_cpu_pct": "Check the JVM: garbage collection first (jstat -gcutil), then hot threads.",
    "mem_used_pct": "Find the process that grows (ps --sort=-rss); restart it or add memory.",
    "swap_used_pct": "Memory is too small for the workload: find the process that grew "
    "(ps --sort=-rss) and stop it.",
    "disk_usage_pct": "Free space on the fullest volume or grow it (df -h, du -xh): logs first.",
    "net_in_mb_s": "Find the sender (ss -tinp) and check whether the traffic is expected; spread "
    "or limit it.",
    "net_out_mb_s": "Find the receiver (ss -tinp) and check whether the traffic is expected; "
    "spread or limit it.",
    "back_close_wait": "The service leaves back-end sockets open (ss -t state close-wait): restart "
    "it, then fix its connection pool.",
    "front_close_wait": "The service leaves client sockets open (ss -t state close-wait): restart "
    "it, then fix the handler that does not close them.",
    "load_average": "Find what waits to run (vmstat 5): CPU, disk or a queue; shed or move work.",
}
STALE_STEP = (
    "Check whether the host answers (ping, ssh) and whether its agent still sends; "
    "then whether its source answers."
)
