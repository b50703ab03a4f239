import numpy as np
import pytest

from functions.replay.promql_operators import NotReplayable
from functions.replay.promql_values import FleetValues, evaluate

NAN = np.nan
SERVERS = ("web1", "db1")


def fleet() -> FleetValues:
    steps = np.arange(20.0)
    return FleetValues(
        SERVERS,
        {
            "cpu_idle_pct": np.array([100 - 5 * steps, np.full(20, 50.0)]),
            "disk_usage_pct": np.array([80 + steps, np.full(20, 10.0)]),
            "mem_used_pct": np.array([np.full(20, 96.0), np.full(20, NAN)]),
            "load_average": np.array([steps, steps / 4]),
            "net_in_mb_s": np.array([np.full(20, 3.0), np.full(20, 1.0)]),
            "uptime_days": np.array([steps / 288, 10 + steps / 288]),
            "back_close_wait": np.array([np.full(20, 7.0), np.full(20, 0.0)]),
            "cpu_iowait_pct": np.array([np.full(20, 5.0), np.full(20, 5.0)]),
        },
        cores=(4, None),
    )


def fires(expression: str) -> list[int]:
    """The number of steps at which each server has a sample in the result."""
    counts: list[int] = (~np.isnan(evaluate(expression, fleet()).values)).sum(1).tolist()
    return counts


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("mem_used_pct > 95", [20, 0]),
        ("(node_memory_MemTotal_bytes - node_memory_MemAvailable_bytes)"
         " / node_memory_MemTotal_bytes * 100 > 95", [20, 0]),
        ("node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes < 0.05", [20, 0]),
        ('100 - (avg by (instance) (rate(node_cpu_seconds_total{mode="idle"}[5m])) * 100) > 80',
         [3, 0]),
        ('avg without (cpu) (irate(node_cpu_seconds_total{mode="idle"}[5m])) < bool 0.2', [20, 20]),
        ("(sum by (instance) (avg by (mode, instance) "
         '(rate(node_cpu_seconds_total{mode!="idle"}[2m]))) > 0.8)'
         " * on (instance) group_left (nodename) node_uname_info", [3, 0]),
        ("sum without (mode) (avg without (cpu) "
         '(rate(node_cpu_seconds_total{mode!~"idle|iowait"}[2m]))) * 100 > 85', [1, 0]),
        ("node_load1 / count without (cpu, mode) "
         '(node_cpu_seconds_total{mode="idle"}) > 4', [3, 0]),
        ("node_filesystem_avail_bytes / node_filesystem_size_bytes < 0.02"
         " and node_filesystem_readonly == 0", [1, 0]),
        ("node_load1 > 10 unless disk_usage_pct > 95", [5, 0]),
        ("node_load1 > 10 and disk_usage_pct > 95", [4, 0]),
        ("node_load1 > 18 or node_load1 < 1", [2, 4]),
        ("max_over_time(load_average[15m]) >= 18", [2, 0]),
        ("avg_over_time(node_load1[15m]) > 17.5", [1, 0]),
        ("sum by (instance) (rate(node_network_receive_bytes_total[5m])) > 2e6", [20, 0]),
        ("time() - node_boot_time_seconds < 3600", [12, 0]),
        ('node_tcp_connection_states{state="close_wait"} >= 7', [20, 0]),
        ('load_average{instance=~"db.*:9100"} >= 0', [0, 20]),
        ('load_average{instance!="web1:9100"} >= 0', [0, 20]),
        ("load_average offset 10m > 16", [1, 0]),
        ("abs(-load_average) == 19", [1, 0]),
        ("load_average - 1 > 17", [1, 0]),
        ("predict_linear(node_filesystem_avail_bytes[1h], 3450) < 0", [11, 0]),
        ("predict_linear(disk_usage_pct[1h], 3450) > 100", [11, 0]),
    ],
)  # fmt: skip
def test_an_expression_has_samples_where_prometheus_would_fire(expression, expected) -> None:
    assert fires(expression) == expected


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("x >", "not valid PromQL"),
        ("redis_up == 0", "redis_up is not one of our metrics"),
        ("node_filesystem_avail_bytes < 1e9", "bytes are not kept"),
        ("node_memory_MemAvailable_bytes / node_filesystem_size_bytes > 1", "bytes are not kept"),
        ("node_filesystem_avail_bytes + 5 < 0", "bytes are not kept"),
        ("sum(node_load1) > 100", "it watches the fleet as a whole, not a server"),
        ("avg without (instance) (node_load1) > 1", "it watches the fleet as a whole"),
        ("count by (instance) (node_load1) > 3", "the aggregation count is not replayed"),
        ('rate(node_cpu_seconds_total{mode="idle"}[5m]) < 0.1', "it watches each cpu alone"),
        ('sum by (instance) (rate(node_cpu_seconds_total{mode="idle"}[5m])) < 1', "expected avg"),
        (
            'avg by (instance) (rate(node_cpu_seconds_total{mode="steal"}[5m])) > 1',
            "only the modes",
        ),
        ('avg by (instance) (rate(node_cpu_seconds_total{mode!="idle"}[5m])) > 1', "cpu and mode"),
        ("rate(node_disk_io_time_seconds_total[5m]) > 1", "the counter node_disk_io_time_seconds"),
        ("deriv(node_load1[1h]) > 1", "the function deriv is not replayed"),
        ("absent(node_load1)", "absent() watches missing data"),
        ("java_cpu_pct > 5", "java_cpu_pct is not one of our metrics"),
        ("vector(1)", "the function vector is not replayed"),
        ("1 > bool 2", "it compares numbers only"),
        ("node_load1 - time() > 5", "of time() only"),
        ("node_load1 @ 0 > 1", "the modifier @ is not replayed"),
        ("node_load1 % 2 == 1", "the operator % is not replayed"),
        ('node_load1{instance=~"(?x)a"} > 1', "is not a valid pattern"),
        ("(" * 60 + "node_load1" + ")" * 60 + " > 1", "nests more than 50 operations"),
    ],
)
def test_what_cannot_be_replayed_is_refused_with_the_reason(expression, reason) -> None:
    with pytest.raises(NotReplayable) as error:
        evaluate(expression, fleet())
    assert reason in str(error.value)


def test_what_differs_from_the_original_is_said() -> None:
    expression = (
        'node_filesystem_avail_bytes{job="node",fstype!="tmpfs"} / node_filesystem_size_bytes < .1'
    )
    result = evaluate(expression, fleet())
    assert result.watches == ("disk_usage_pct",)
    assert result.notes == (
        "of volumes the fullest is kept: the rule is replayed on it",
        "the label job is not kept: all servers are replayed",
    )
