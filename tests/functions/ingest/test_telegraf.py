"""Telegraf's stock inputs, as it writes them, become rows of the 14 metrics."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from functions.ingest import partial_samples, telegraf
from functions.ingest.rejection import reason_records
from functions.ingest.row_assembly import RowAssembler
from functions.ingest.telegraf import TelegrafReader, TelegrafResult
from functions.normalize.devices import DeviceRules
from storage.config.settings import DevicePatterns, DeviceSettings
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
    reader.read(f"m,host=a x=1,load_average={first},mem_used_pct=5 {T1}", "s", NOW)
    result = reader.read(f"m,host=a x=2,load_average={text},mem_used_pct=7 {T2}", "s", NOW)
    parts = result.readings.servers.get("a", {})
    assert parts.get(("load_average", ""), ([], [None]))[1] == [value]
    if result.reasons and text not in ('"x"', "t"):  # values of another kind are refused alone
        assert not parts
    else:
        assert parts["mem_used_pct", ""] == ([T2 * 1_000_000], [7.0])


def traffic(links: Sequence[str], t: int, received: int) -> str:
    tags = (link.replace(" ", "\\ ") for link in links)
    return "\n".join(
        f"net,host=a,interface={link} bytes_recv={received}i,bytes_sent=0i {t}" for link in tags
    )


@pytest.mark.parametrize(
    ("links", "factor"),
    [
        (["eno1", "vmbr0"], 1), (["eno1", "eno1.10", "vlan10", "fwbr100i0"], 1),
        (["eth0", "cilium_host", "azv1a2b3c", "eni9f8e7d6c"], 1),
        (["eth0", "eth1", "bond0", "tailscale0"], 2), (["eth0", "ovs-system", "ppp0"], 1),
        (["eth0", "gre0", "vxlan100", "nerdctl0", "ztabcdef"], 1), (["vmbr0", "tap100i0"], 1),
        (["Ethernet", "vEthernet (Default Switch)"], 1), (["tun0"], 1),
    ],
)  # fmt: skip
def test_traffic_over_stacked_links_counts_once(links: list[str], factor: int) -> None:
    bodies = (traffic(links, T1, 10**9), traffic(links, T2, 10**9 + 10**8))
    [row] = rows(*bodies, precision="s")
    assert row["net_in_mb_s"] == pytest.approx(10 * factor)


def test_pseudo_volumes_are_not_the_fullest_disk() -> None:
    line = f"disk,host=a,device={{}},fstype={{}},path={{}},mode=rw used_percent={{}} {T1}"
    body = "\n".join(
        line.format(*each)
        for each in (
            ("sda1", "ext4", "/", 41),
            ("efivarfs", "efivarfs", "/sys/firmware/efi/efivars", 97),
            ("devfs", "devfs", "/dev", 100),
            ("snapfuse", "fuse.snapfuse", "/snap/x/1", 100),
            ("overlay", "overlay", "/var/lib/docker/overlay2/7/merged", 60),
        )
    )
    assembler = RowAssembler("influx", METRIC_NAMES)
    made = assembler.rows(read(body, "s").readings)
    assert made["metrics"]["disk_usage_pct"].to_pylist() == [41.0]
    assert made["server_facts"]["disk_volume"].to_pylist() == ["/"]


def test_the_settings_choose_links_and_volumes() -> None:
    chosen = DevicePatterns(include=["wg0", "/scratch"], exclude=["eth*", "/"])
    rules = DeviceRules(DeviceSettings(chosen, chosen))
    body = traffic(["eth0", "wg0"], T1, 0) + (
        f"\ndisk,host=a,device=x,fstype=ext4,path=/ used_percent=9 {T1}"
        f"\ndisk,host=a,device=t,fstype=tmpfs,path=/scratch used_percent=8 {T1}"
    )
    made = RowAssembler("influx", METRIC_NAMES, rules).rows(
        TelegrafReader(METRIC_NAMES, rules).read(body, "s", NOW).readings
    )
    [fact] = made["server_facts"].to_pylist()
    assert (fact["disk_volume"], fact["net_links"]) == ("/scratch", "wg0")
    assert made["metrics"]["disk_usage_pct"].to_pylist() == [8.0]


def test_idle_that_was_not_sent_is_what_steal_leaves_too() -> None:
    body = f"cpu,host=a usage_user=20,usage_system=10,usage_iowait=5,usage_steal=30{{}} {T1}"
    assert rows(body.format(""), precision="s")[0]["cpu_idle_pct"] == pytest.approx(35)
    [sent] = rows(body.format(",usage_idle=34"), precision="s")
    assert sent["cpu_idle_pct"] == 34


@pytest.mark.parametrize(
    ("time", "precision", "says"),
    [
        (T1, "ns", "is older than 10 years: name its unit with ?precision=s"),
        (T1 * 10**3, "ns", "is older than 10 years: name its unit with ?precision=ms"),
        (T1 * 10**6, "ns", "is older than 10 years: name its unit with ?precision=us"),
        (T1 * 10**3, "s", "in the future: name its unit with ?precision=ms"),
        (T1 * 10**9, "s", "in the future: name its unit with ?precision=ns"),
        (T1 + 600, "s", "lies more than 5 minutes in the future: check the sender's clock"),
        (0, "s", "send the time of the sample"),
        (10**400, "s", "lies more than 5 minutes in the future: check the sender's clock"),
        (T1 - 11 * 365 * 86_400, "s", "is older than 10 years: check the sender's clock; for"),
    ],
)  # fmt: skip
def test_a_time_that_cannot_be_true_is_refused_with_what_it_means_in_each_unit(
    time: int, precision: str, says: str
) -> None:
    result = read(f"m,host=a load_average=1 {time}\nm,host=b load_average=1", precision)
    [reported] = reason_records(result.reasons)
    assert says in reported["reason"]
    assert reported["example"].startswith(str(time)[:20])
    if time < 10**400:
        assert all(f" in {unit}" in reported["example"] for unit in ("s", "ms", "us", "ns"))
    assert list(result.readings.servers) == ["b"]


@pytest.mark.parametrize("text", ['"12.5"', '"high"', "true"])
def test_a_number_in_quotes_is_refused_in_words_and_the_rest_of_the_line_is_taken(
    text: str,
) -> None:
    body = f"cpu,host=a,cpu=cpu-total usage_user={text},usage_system=3 {T1}000000000\n"
    [row] = rows(body)
    assert (row["cpu_user_pct"], row["cpu_sys_pct"]) == (None, 3.0)
    [why] = reason_records(read(body).reasons)
    assert why["count"] == 1
    assert "usage_user: quoted text or a boolean (expected a number" in why["reason"]


def test_text_in_fields_that_are_not_read_is_no_mistake() -> None:
    assert not read(f'system,host=a load1=1,uptime_format="2 days" {T1}000000000\n').reasons


def test_each_series_is_reported_with_the_tags_that_are_no_device() -> None:
    seen: list[tuple[object, ...]] = []
    lines = (
        f"disk,host=a,dc=x,device=sda,fstype=ext4,path=/ used_percent=5 {T1}",
        f"disk,host=a,dc=x,device=sda,fstype=ext4,path=/ used_percent=6 {T2}",
        f'jvm,host=a,path=/ note="t",load_average=2 {T2}',
        f"procstat,host=a,exe=java cpu_usage=1,pid=7i {T1}",
    )
    reader = TelegrafReader(METRIC_NAMES)
    reader.read("\n".join(lines), "s", NOW, lambda *stream: seen.append(stream))
    assert seen == [
        ("a", "volume_used_pct", "sda /", frozenset({("dc", "x")}), (T1 * 1_000_000,), (5.0,)),
        ("a", "load_average", "", frozenset({("path", "/")}), (T2 * 1_000_000,), (2.0,)),
    ]


@pytest.mark.parametrize("bad", ['m,host=a text="x', f"m,host=a load_average={'1' * 400}i"])
def test_a_bad_line_is_refused_alone_and_the_honest_ones_behind_it_are_taken(bad: str) -> None:
    honest = [f"m,host=h{place} load_average=1" for place in range(3)]
    result = read("\n".join([bad, *honest]))
    assert (result.lines, result.used, result.reasons.count) == (4, 3, 1)
    assert sorted(result.readings.servers) == ["h0", "h1", "h2"]


def test_servers_and_devices_beyond_the_limit_are_refused_in_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(partial_samples, "MAX_SERVERS", 2)
    monkeypatch.setattr(partial_samples, "MAX_PARTS", 2)
    servers = read("".join(f"m,host={name} load_average=1\n" for name in "abca"))
    links = read("".join(f"net,host=a,interface=eth{n} bytes_recv=1\n" for n in range(5)))
    assert [sorted(result.readings.servers) for result in (servers, links)] == [["a", "b"], ["a"]]
    reasons = [result.reasons.ranked()[0] for result in (servers, links)]
    assert [(each.count, each.example) for each in reasons] == [(1, "c"), (3, "a")]
    assert all("send it in parts" in each.reason for each in reasons)


def test_lines_of_many_shapes_are_read_alike_with_and_without_a_template(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = "".join(f"m,host=a load_average={n},x{n % 7}=1 {T1 + n}\n" for n in range(30))
    known = read(text, "s").readings.servers
    monkeypatch.setattr(telegraf, "MAX_TEMPLATES", 2)
    assert read(text, "s").readings.servers == known
    monkeypatch.setattr(telegraf, "MAX_TEMPLATE_CHARS", 2)
    assert read(text, "s").readings.servers == known


def test_a_series_of_a_long_name_is_not_kept_for_the_next_body() -> None:
    reader = TelegrafReader(METRIC_NAMES)
    for tag in ("x", "x" * 2000):
        assert reader.read(f"m,host=a,t={tag} load_average=1", "ns", NOW).used == 1
    assert list(reader._plans) == ["m,host=a,t=x"]
