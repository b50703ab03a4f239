"""Telegraf's stock inputs, as it writes them, become rows of the 14 metrics."""

from datetime import UTC, datetime
from typing import Any

import pytest

from functions.ingest.rejection import reason_records
from functions.ingest.row_assembly import RowAssembler
from functions.ingest.telegraf import TelegrafReader, TelegrafResult
from storage.model.metrics import METRIC_NAMES
from tests.conftest import NOW

T1, T2 = 1778068800, 1778068810  # 2026-05-06 12:00:00 and 10 s later
# One gathering of the inputs of Telegraf's stock configuration, with a host of 8 cores.
GATHERED = """\
cpu,cpu=cpu0,host=web1 usage_user=90,usage_system=9,usage_idle=1 {t}
cpu,cpu=cpu-total,host=web1 usage_user=20,usage_system=5,usage_idle=60,usage_nice=1,usage_iowait=\
10,usage_irq=1,usage_softirq=2,usage_steal=1,usage_guest=0.5,usage_guest_nice=0 {t}
mem,host=web1 total=1000i,available=400i,used=500i,used_percent=50,available_percent=40 {t}
swap,host=web1 total=0i,used_percent=0 {t}
disk,device=sda1,fstype=ext4,host=web1,mode=rw,path=/ used_percent=41.5 {t}
disk,device=sdb1,fstype=xfs,host=web1,mode=rw,path=/data used_percent=77.5 {t}
disk,device=loop0,fstype=squashfs,host=web1,mode=ro,path=/snap used_percent=100 {t}
net,host=web1,interface=eth0 bytes_recv={recv}i,bytes_sent={sent}i,err_in=0i {t}
net,host=web1,interface=docker0 bytes_recv={recv}i,bytes_sent={sent}i {t}
net,host=web1,interface=all icmp_inmsgs=7i {t}
system,host=web1 load1=1.25,load5=2,n_cpus=8i,n_users=1i {t}
system,host=web1 uptime=172800i {t}
system,host=web1 uptime_format="2 days,  0:00" {t}
netstat,host=web1 tcp_close_wait=12i,tcp_established=80i {t}
procstat,exe=java,host=web1,process_name=java cpu_usage=200,pid=11i {t}
procstat,exe=java,host=web1,process_name=java cpu_usage=40,pid=12i {t}
procstat,exe=nginx,host=web1,process_name=nginx cpu_usage=300,pid=13i {t}
kernel,host=web1 boot_time=1i,context_switches=2i {t}
"""


def gathered(t: int, recv: int, sent: int) -> str:
    return GATHERED.format(t=f"{t}000000000", recv=recv, sent=sent)


def read(text: str, precision: str = "ns") -> TelegrafResult:
    return TelegrafReader(METRIC_NAMES).read(text, precision, NOW)


def rows(*bodies: str, precision: str = "ns") -> list[dict[str, Any]]:
    assembler = RowAssembler("influx", METRIC_NAMES)
    return [
        row
        for body in bodies
        for row in assembler.rows(read(body, precision).readings)["metrics"].to_pylist()
    ]


def test_one_gathering_is_one_row_with_all_that_it_tells() -> None:
    first, second = rows(gathered(T1, 10**9, 10**9), gathered(T2, 10**9 + 5 * 10**7, 10**9 + 10**6))
    assert second["ts"] == datetime(2026, 5, 6, 12, 0, 10, tzinfo=UTC)
    expected = {
        "cpu_user_pct": 21.5, "cpu_sys_pct": 8.0, "cpu_iowait_pct": 10.0, "cpu_idle_pct": 60.0,
        "java_cpu_pct": 30.0, "mem_used_pct": 60.0, "swap_used_pct": 0.0, "disk_usage_pct": 77.5,
        "net_in_mb_s": 5.0, "net_out_mb_s": 0.1, "back_close_wait": 12.0, "front_close_wait": None,
        "load_average": 1.25, "uptime_days": 2.0,
    }  # fmt: skip
    assert {name: second[name] for name in METRIC_NAMES} == pytest.approx(expected)
    # A counter alone tells nothing; all else is there at once.
    alone = expected | {"net_in_mb_s": None, "net_out_mb_s": None}
    assert {name: first[name] for name in METRIC_NAMES} == pytest.approx(alone)


def test_the_cores_are_told_as_a_fact_once() -> None:
    assembler = RowAssembler("influx", METRIC_NAMES)
    first = assembler.rows(read(gathered(T1, 1, 1)).readings)
    assert first["server_facts"].to_pylist()[0]["cores"] == 8
    assert "server_facts" not in assembler.rows(read(gathered(T2, 2, 2)).readings)


def test_a_batch_sent_twice_changes_nothing() -> None:
    once, twice = gathered(T1, 1, 1), gathered(T1, 1, 1) * 2
    assert rows(once) == rows(twice)


def test_lines_with_our_own_names_are_taken_at_any_precision() -> None:
    for precision, time in (("s", T1), ("ms", T1 * 1000), ("u", T1 * 10**6), ("n", T1 * 10**9)):
        [row] = rows(f"anything,host=a mem_used_pct=7,load_average=2i,foo=1 {time}",
                     precision=precision)  # fmt: skip
        assert row["ts"] == datetime(2026, 5, 6, 12, tzinfo=UTC)
        assert (row["server"], row["mem_used_pct"], row["load_average"]) == ("a", 7.0, 2.0)


def test_a_line_without_a_time_is_of_now() -> None:
    [row] = rows("m,host=a load_average=1")
    assert row["ts"] == NOW


def test_bad_lines_are_counted_with_their_reason_and_the_others_are_taken() -> None:
    result = read(
        f"m,host=a load_average=1 {T1}\nm load_average=2 {T1}\nm,host=b load_average=x {T1}\n"
        f"m,host=c load_average=1 {T1 * 1000}\nnonsense\nkernel,host=a x=1 {T1}\n",
        "s",
    )
    reported = [reason["reason"] for reason in reason_records(result.reasons)]
    assert list(result.readings.servers) == ["a"]
    assert (result.lines, result.used, len(reported)) == (6, 1, 4)
    for says in ("the tag 'host'", "'x' is not a value", "?precision=", "measurement,tag=value"):
        assert any(says in reason for reason in reported), says


@pytest.mark.parametrize(
    ("text", "value"),
    [("1.5", 1.5), ("2i", 2.0), ("3u", 3.0), ("-1e2", -100.0), ('"x"', None), ("t", None),
     ("nan", None), ("1_0", None), ("1.5i", None), ("1-2", None)],
)  # fmt: skip
@pytest.mark.parametrize("first", ["1", "1i", '"x"', "false"])
def test_a_line_is_read_alike_whatever_stood_in_the_one_before(
    first: str, text: str, value: float | None
) -> None:
    """Lines of one series are searched for in the form of the last, where that fits."""
    reader = TelegrafReader(METRIC_NAMES)
    reader.read(f"m,host=a x=1,load_average={first},mem_used_pct=5 1", "s", NOW)
    result = reader.read(f"m,host=a x=2,load_average={text},mem_used_pct=7 2", "s", NOW)
    parts = result.readings.servers.get("a", {})
    assert parts.get(("load_average", ""), ([], [None]))[1] == [value]
    if result.reasons:
        assert not parts
    else:
        assert parts["mem_used_pct", ""] == ([2_000_000], [7.0])


def test_each_series_is_reported_with_the_tags_that_are_no_device() -> None:
    seen: list[tuple[object, ...]] = []
    lines = (
        "disk,host=a,dc=x,device=sda,fstype=ext4,path=/ used_percent=5 1000000000",
        "disk,host=a,dc=x,device=sda,fstype=ext4,path=/ used_percent=6 2000000000",
        'jvm,host=a,path=/ note="t",load_average=2 3000000000',
        "procstat,host=a,exe=java cpu_usage=1,pid=7i 1000000000",
    )
    reader = TelegrafReader(METRIC_NAMES)
    reader.read("\n".join(lines), "ns", NOW, lambda *stream: seen.append(stream))
    assert seen == [
        ("a", "disk_usage_pct", "sda/", frozenset({("dc", "x")}), (1_000_000,), (5.0,)),
        ("a", "load_average", "", frozenset({("path", "/")}), (3_000_000,), (2.0,)),
    ]
