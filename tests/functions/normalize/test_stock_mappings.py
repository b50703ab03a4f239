"""Exports of common programs become the right metrics, in the right units, or are named."""

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pytest

from functions.normalize.columns import columns_of
from functions.normalize.file_readers import read_chunks
from functions.normalize.grouping import DocumentGrouping
from functions.normalize.mapper import Mapper
from functions.normalize.mapping import read_mapping
from functions.normalize.stock_mappings import similar_stock, stock_names
from storage.model.metrics import METRIC_NAMES

UTC_ZONE = {"zone": "UTC"}


class Read(NamedTuple):
    """Metrics by server and minute, notes, and the number of refusals."""

    rows: dict[tuple[str, str], dict[str, float]]
    notes: list[str]
    refused: int


def read(path: Path, text: str, stock: str, **mapping: Any) -> Read:
    path.write_text(text)
    whole = read_mapping({"stock": stock, **mapping})
    mapper, grouping = Mapper(whole, "x"), DocumentGrouping(whole) if whole.gather else None
    tables: list[pa.Table] = []
    notes: list[str] = []
    refused = 0
    for chunk in read_chunks(path):
        mapped = mapper.map(chunk.documents)
        tables.append(mapped.rows)
        notes += mapped.notes
        refused += mapped.rejects.count
        if grouping:
            grouping.add(mapped.rows)
    if grouping:
        tables = [each for each in [grouping.take_all()] if each is not None]
    rows: dict[tuple[str, str], dict[str, float]] = {}
    for row in pa.concat_tables(tables, promote_options="default").to_pylist() if tables else []:
        key = row["server"], f"{row['ts']:%H:%M:%S}"
        known = {n: row[n] for n in METRIC_NAMES if row.get(n) is not None}
        rows[key] = rows.get(key, {}) | known
    return Read(rows, notes, refused)


def test_sadf_csv(tmp_path: Path) -> None:
    text = """\
h1;-1;2026-05-06 12:00:00 UTC;LINUX-RESTART\t(2 CPU)
# hostname;interval;timestamp;CPU;%user;%nice;%system;%iowait;%steal;%idle
h1;60;2026-05-06 12:01:00 UTC;-1;45.25;41.25;10.00;1.50;0.00;2.00
h1;60;2026-05-06 12:01:00 UTC;0;99.00;0.00;1.00;0.00;0.00;0.00
# hostname;interval;timestamp;kbmemfree;kbavail;kbmemused;%memused
h1;60;2026-05-06 12:01:00 UTC;1;2;3;61.00
# hostname;interval;timestamp;kbswpfree;kbswpused;%swpused
h1;60;2026-05-06 12:01:00 UTC;1;2;12.50
# hostname;interval;timestamp;IFACE;rxpck/s;txpck/s;rxkB/s;txkB/s
h1;60;2026-05-06 12:01:00 UTC;lo;1;1;5000.00;5000.00
h1;60;2026-05-06 12:01:00 UTC;eth0;1;1;1000.00;500.00
h1;60;2026-05-06 12:01:00 UTC;eth1;1;1;3000.00;0.00
# hostname;interval;timestamp;runq-sz;plist-sz;ldavg-1;ldavg-5
h1;60;2026-05-06 12:01:00 UTC;1;109;0.80;1.32
# hostname;interval;timestamp;FILESYSTEM;MBfsfree;MBfsused;%fsused;%ufsused
h1;60;2026-05-06 12:01:00 UTC;/dev/sda1;1;1;40.00;42.00
h1;60;2026-05-06 12:01:00 UTC;/dev/sdb1;1;1;70.00;75.00
h1;60;2026-05-06 12:01:00 UTC;/dev/loop0;0;1;100.00;100.00
"""
    rows, notes, refused = read(tmp_path / "s.csv", text, "sadf")
    assert rows["h1", "12:01:00"] == pytest.approx({
        "cpu_user_pct": 86.5, "cpu_sys_pct": 10, "cpu_iowait_pct": 1.5, "cpu_idle_pct": 2,
        "swap_used_pct": 12.5, "load_average": 0.8, "disk_usage_pct": 75,
        "net_in_mb_s": 4.096, "net_out_mb_s": 0.512,
    })  # fmt: skip
    assert refused == 0
    assert notes[0].startswith("%memused is not mapped: older versions")


def test_sadf_json(tmp_path: Path) -> None:
    cpus = [
        {"cpu": "all", "user": 45.25, "nice": 41.25, "system": 10, "iowait": 1.5, "idle": 2},
        {"cpu": "0", "user": 99, "nice": 0, "system": 1, "iowait": 0, "idle": 0},
    ]
    links = [
        {"iface": "lo", "rxkB": 5000, "txkB": 5000}, {"iface": "eth0", "rxkB": 1000, "txkB": 500},
        {"iface": "eth1", "rxkB": 3000, "txkB": 0},
    ]  # fmt: skip
    at = {"date": "2026-05-06", "time": "12:01:00", "utc": 1, "interval": 60}
    sample = {
        "timestamp": at, "cpu-load": cpus, "network": {"net-dev": links},
        "memory": {"memused-percent": 61, "swpused-percent": 12.5}, "queue": {"ldavg-1": 0.8},
        "filesystems": [
            {"filesystem": "/dev/sda1", "%ufsused": 42},
            {"filesystem": "/dev/loop0", "%ufsused": 100},
        ],
    }  # fmt: skip
    local = {"timestamp": at | {"time": "14:01:00", "utc": 0}, "cpu-load": cpus}
    host = {"nodename": "h1", "number-of-cpus": 2, "statistics": [sample, local]}
    text = json.dumps({"sysstat": {"hosts": [host]}}, indent="\t")
    rows, notes, refused = read(tmp_path / "s.json", text, "sadf_json")
    assert rows == {
        ("h1", "12:01:00"): pytest.approx({
            "cpu_user_pct": 86.5, "cpu_sys_pct": 10, "cpu_iowait_pct": 1.5, "cpu_idle_pct": 2,
            "swap_used_pct": 12.5, "load_average": 0.8, "disk_usage_pct": 42,
            "net_in_mb_s": 4.096, "net_out_mb_s": 0.512,
        })
    }  # fmt: skip
    assert refused == 0
    assert notes[0].startswith("memory.memused-percent is not mapped: older versions")


def test_sadf_counts_alike_where_all_modes_are_apart(tmp_path: Path) -> None:
    modes = {
        "usr": 40,
        "nice": 5,
        "sys": 6,
        "iowait": 1,
        "steal": 0,
        "irq": 2,
        "soft": 2,
        "guest": 3,
    }
    cpu = {"cpu": "all", **modes, "gnice": 1, "idle": 40}
    at = {"date": "2026-05-06", "time": "12:01:00", "utc": 1}
    hosts = [{"nodename": "h1", "statistics": [{"timestamp": at, "cpu-load": [cpu]}]}]
    text = json.dumps({"sysstat": {"hosts": hosts}})
    expected = {
        ("h1", "12:01:00"): {
            "cpu_user_pct": 49, "cpu_sys_pct": 10, "cpu_iowait_pct": 1, "cpu_idle_pct": 40,
        }
    }  # fmt: skip
    assert read(tmp_path / "s.json", text, "sadf_json").rows == expected
    names = ";".join(f"%{name}" for name in list(cpu)[1:])
    values = ";".join(str(value) for value in list(cpu.values())[1:])
    text = f"# hostname;interval;timestamp;CPU;{names}\nh1;1;2026-05-06 12:01:00 UTC;-1;{values}\n"
    assert read(tmp_path / "s.csv", text, "sadf").rows == expected


def test_cloudwatch_csv_without_guessing_what_bytes_are_of(tmp_path: Path) -> None:
    text = (
        "Label,CPUUtilization,NetworkIn,CPUUtilization\n,i-0a,i-0a,i-0b\n,,,\nTime,,,\n"
        "2026/05/06 12:00:00,12.5,600000000,80\n"
    )
    zone = {"time": {"field": "Time", "format": "%Y/%m/%d %H:%M:%S", "zone": "UTC"}}
    rows, notes, _ = read(tmp_path / "c.csv", text, "cloudwatch", **zone)
    assert rows == {
        ("i-0a", "12:00:00"): {"cpu_idle_pct": 87.5},
        ("i-0b", "12:00:00"): {"cpu_idle_pct": 20},
    }
    assert "NetworkIn is not mapped: bytes in every period" in notes[0]
    stated = {"net_in_mb_s": {"field": "NetworkIn", "unit": "bytes", "per": "5m"}}
    rows, notes, _ = read(tmp_path / "c.csv", text, "cloudwatch", metrics=stated, **zone)
    assert rows["i-0a", "12:00:00"] == {"cpu_idle_pct": 87.5, "net_in_mb_s": 2}
    assert notes == []


def test_cloudwatch_json_of_one_metric(tmp_path: Path) -> None:
    point = {"Timestamp": "2026-05-06T12:00:00+00:00", "Average": 12.5, "Unit": "Percent"}
    text = json.dumps({"Label": "CPUUtilization", "Datapoints": [point]}, indent=4)
    fixed = {"server": {"fixed": "i-0a"}}
    assert read(tmp_path / "c.json", text, "cloudwatch_json", **fixed).rows == {
        ("i-0a", "12:00:00"): {"cpu_idle_pct": 87.5}
    }


def azure_line(metric: str, **values: Any) -> str:
    machine = "/SUBSCRIPTIONS/1/RESOURCEGROUPS/G/PROVIDERS/MICROSOFT.COMPUTE/VIRTUALMACHINES/WEB01"
    known = {"time": "2026-05-06T12:00:00Z", "resourceId": machine, "timeGrain": "PT1M"}
    return json.dumps(known | {"metricName": metric} | values) + "\n"


def test_azure_monitor_one_counter_a_record(tmp_path: Path) -> None:
    text = (
        azure_line("Percentage CPU", average=12.5)
        + azure_line("Available Memory Percentage", average=40)
        + azure_line("Network In Total", total=60_000_000)
        + azure_line("Network In", total=1)
        + azure_line("OS Disk Queue Depth", average=1)
    )
    rows, notes, refused = read(tmp_path / "a.jsonl", text, "azure")
    assert rows == {
        ("WEB01", "12:00:00"): {"cpu_idle_pct": 87.5, "mem_used_pct": 60, "net_in_mb_s": 1}
    }
    assert refused == 0
    assert notes == [
        "metricName = Network In or Network Out is not mapped: billable bytes, as Azure counts "
        "them; Network In Total and Network Out Total are mapped"
    ]


def test_azure_command_line(tmp_path: Path) -> None:
    metric = "/subscriptions/1/virtualMachines/web01/providers/Microsoft.Insights/metrics/x"
    data = [{"timeStamp": "2026-05-06T12:00:00Z", "average": 12.5}]
    value = [{"id": metric, "name": {"value": "Percentage CPU"}, "timeseries": [{"data": data}]}]
    text = json.dumps({"cost": 1, "interval": "PT1M", "timespan": "x", "value": value}, indent=2)
    assert read(tmp_path / "a.json", text, "azure").rows == {
        ("web01", "12:00:00"): {"cpu_idle_pct": 87.5}
    }


def test_azure_log_analytics(tmp_path: Path) -> None:
    text = """\
TimeGenerated,Computer,ObjectName,CounterName,InstanceName,CounterValue
2026-05-06T12:00:00Z,web01,Processor,% Processor Time,_Total,12.5
2026-05-06T12:00:00Z,web01,Processor,% Processor Time,0,99
2026-05-06T12:00:00Z,web01,LogicalDisk,% Free Space,_Total,50
2026-05-06T12:00:00Z,web01,LogicalDisk,% Free Space,C:,30
2026-05-06T12:00:00Z,web01,LogicalDisk,% Free Space,D:,90
"""
    assert read(tmp_path / "a.csv", text, "azure").rows == {
        ("web01", "12:00:00"): {"cpu_idle_pct": 87.5, "disk_usage_pct": 70}
    }


@pytest.mark.parametrize(
    "columns",
    [
        '"{instance=""web01:9100""}","{instance=""web02:9100""}"',
        '"up{instance=""web01:9100"", job=""a""}","up{instance=""web02"", job=""a""}"',
        '"{__name__=""x"", instance=""web01:9100"", job=""a""}","web02:9100"',
        '"{job=""a"", instance=""[web01]:9100""}","{job=""a"", instance=""web02:9100""}"',
    ],
)
def test_grafana_joined_by_time_has_a_column_per_server(tmp_path: Path, columns: str) -> None:
    text = f'sep=,\n"Time",{columns}\n2026-05-06 12:00:00,12.5%,61.2%\n'
    stated = {"metrics": {"cpu_idle_pct": {"field": "value"}}}
    zone = {"time": {"field": "Time", "zone": "UTC"}}
    assert read(tmp_path / "g.csv", text, "grafana", **stated, **zone).rows == {
        ("web01", "12:00:00"): {"cpu_idle_pct": 12.5},
        ("web02", "12:00:00"): {"cpu_idle_pct": pytest.approx(61.2)},
    }


@pytest.mark.parametrize("series", ["web01:9100", '"{instance=""web01:9100"", job=""a""}"'])
def test_grafana_series_as_rows(tmp_path: Path, series: str) -> None:
    text = f'"Series";"Time";"Value"\n{series};2026-05-06T12:00:00+00:00;12.5\n'
    stated = {"metrics": {"cpu_idle_pct": {"field": "Value"}}}
    assert read(tmp_path / "g.csv", text, "grafana", **stated).rows == {
        ("web01", "12:00:00"): {"cpu_idle_pct": 12.5}
    }


def test_grafana_names_the_metric_where_the_header_does_and_asks_for_it_otherwise(
    tmp_path: Path,
) -> None:
    zone = {"time": {"field": "Time", "zone": "UTC"}}
    header = '"Time","{name}{{instance=""[fe80::1]:9100""}}"'
    text = header.format(name="node_load1") + "\n2026-05-06 12:00:00,0.5\n"
    assert read(tmp_path / "g.csv", text, "grafana", **zone).rows == {
        ("fe80::1", "12:00:00"): {"load_average": 0.5}
    }
    text = header.format(name="") + "\n2026-05-06 12:00:00,0.5\n"
    rows, notes, _ = read(tmp_path / "g.csv", text, "grafana", **zone)
    assert rows == {}
    assert "the export does not say which metric it is" in notes[0]


def test_grafana_series_that_are_the_same_server_are_refused_and_not_merged(
    tmp_path: Path,
) -> None:
    columns = ",".join(f'"{{instance=""web01:9100"", cpu=""{cpu}""}}"' for cpu in (0, 1))
    text = f'"Time",{columns}\n2026-05-06 12:00:00,1,2\n'
    stated = {"metrics": {"cpu_idle_pct": {"field": "value"}}}
    rows, _, refused = read(tmp_path / "g.csv", text, "grafana", **stated)
    assert rows == {}
    assert refused >= 2


def test_netdata(tmp_path: Path) -> None:
    text = "time,user,nice,system,softirq,iowait\n2026-05-06 12:00:00,12.5,1,3,0.5,1\n"
    stated = {"server": {"fixed": "web01"}, "time": {"field": "time", "zone": "UTC"}}
    assert read(tmp_path / "n.csv", text, "netdata", **stated).rows == {
        ("web01", "12:00:00"): {"cpu_user_pct": 13.5, "cpu_sys_pct": 3.5, "cpu_iowait_pct": 1}
    }


def test_typeperf_has_a_column_per_counter(tmp_path: Path) -> None:
    counters = [
        r"Processor(_Total)\% Processor Time", r"LogicalDisk(C:)\% Free Space",
        r"LogicalDisk(D:)\% Free Space", r"LogicalDisk(_Total)\% Free Space",
        r"Network Interface(Intel[R] I210)\Bytes Received/sec",
        r"Network Interface(isatap.{1})\Bytes Received/sec", r"Memory\Available MBytes",
        r"System\System Up Time",
    ]  # fmt: skip
    names = ",".join(rf'"\\WEB01\{counter}"' for counter in counters)
    first = '"05/06/2026 11:59:59.123"' + ',"50"' + '," "' * 7
    second = '"05/06/2026 12:00:00.123","12.5","30","90","50","2000000","7","1000","86400"'
    text = f'"(PDH-CSV 4.0) (W. Europe Standard Time)(-120)",{names}\n{first}\n{second}\n'
    zone = {"time": {"field": "time", "format": "%m/%d/%Y %H:%M:%S.%f", "zone": "UTC"}}
    rows, notes, refused = read(tmp_path / "t.csv", text, "typeperf", **zone)
    assert rows["WEB01", "12:00:00"] == {
        "cpu_idle_pct": 87.5, "disk_usage_pct": 70, "net_in_mb_s": 2, "uptime_days": 1,
    }  # fmt: skip
    assert rows["WEB01", "11:59:59"] == {"cpu_idle_pct": 50}
    assert refused == 0
    assert notes == ["Available MBytes is not mapped: the size of the memory is not in the file"]


def influx_table(columns: str, *rows: str) -> str:
    count = columns.count(",")
    head = f"#group{',false' * count}\n#datatype{',string' * count}\n#default{',' * count}\n"
    return head + columns + "\n" + "\n".join(rows) + "\n\n"


def test_influx_annotated_csv(tmp_path: Path) -> None:
    at = ("2026-05-06T12:00:00Z", "2026-05-06T12:00:10Z")
    cpu = ",result,table,_time,_value,_field,_measurement,cpu,host"
    disk = ",result,table,_time,_value,_field,_measurement,fstype,path,host"
    net = ",result,table,_time,_value,_field,_measurement,interface,host"
    text = (
        influx_table(
            cpu, f",,0,{at[0]},5,usage_user,cpu,cpu-total,web01",
            f",,0,{at[1]},7,usage_user,cpu,cpu-total,web01",
        )
        + influx_table(cpu, *(f",,1,{t},2.5,usage_nice,cpu,cpu-total,web01" for t in at))
        + influx_table(cpu, f",,2,{at[0]},99,usage_user,cpu,cpu0,web01")
        + influx_table(disk, f",,3,{at[0]},42,used_percent,disk,ext4,/,web01",
                       f",,3,{at[0]},61,used_percent,disk,xfs,/data,web01",
                       f",,3,{at[0]},100,used_percent,disk,squashfs,/snap/x,web01")
        + influx_table(net, f",,4,{at[0]},1000,bytes_recv,net,eth0,web01",
                       f",,4,{at[1]},20001000,bytes_recv,net,eth0,web01")
        + influx_table(net, f",,5,{at[0]},0,bytes_recv,net,eth1,web01",
                       f",,5,{at[1]},10000000,bytes_recv,net,eth1,web01")
    )  # fmt: skip
    rows, _, refused = read(tmp_path / "i.csv", text, "influx")
    assert rows == {
        ("web01", "12:00:00"): {"cpu_user_pct": 7.5, "disk_usage_pct": 61},
        ("web01", "12:00:10"): {"cpu_user_pct": 9.5, "net_in_mb_s": 3},
    }
    assert refused == 0


def test_telegraf_json(tmp_path: Path) -> None:
    lines = [
        ("cpu", {"cpu": "cpu-total"}, {"usage_user": 12.5, "usage_nice": 1, "usage_idle": 80}),
        ("cpu", {"cpu": "cpu0"}, {"usage_user": 99, "usage_idle": 1}),
        ("mem", {}, {"used_percent": 61, "available_percent": 40}),
        ("disk", {"path": "/", "fstype": "ext4"}, {"used_percent": 33}),
        ("disk", {"path": "/d", "fstype": "xfs"}, {"used_percent": 44}),
        ("system", {}, {"load1": 0.5, "uptime": 86400, "n_cpus": 4}),
        ("kernel", {}, {"boot_time": 1}),
    ]
    text = "".join(
        json.dumps({"name": n, "tags": t | {"host": "web01"}, "fields": f, "timestamp": 1778068800})
        + "\n"
        for n, t, f in lines
    )
    rows, _, refused = read(tmp_path / "t.jsonl", text, "telegraf_json")
    assert rows == {
        ("web01", "12:00:00"): {
            "cpu_user_pct": 13.5, "cpu_idle_pct": 80, "mem_used_pct": 60, "disk_usage_pct": 44,
            "load_average": 0.5, "uptime_days": 1,
        }
    }  # fmt: skip
    assert refused == 0


def zabbix_line(clock: int, name: str, value: Any) -> str:
    host = {"host": "web01", "name": "Web 01"}
    known = {"host": host, "itemid": 1, "clock": clock, "ns": 1, "type": 0}
    return json.dumps(known | {"name": name, "value": value}) + "\n"


def test_zabbix_real_time_export(tmp_path: Path) -> None:
    values = [
        ("CPU user time", 12.5), ("CPU nice time", 0.5), ("Memory utilization", 61),
        ("Free swap space in %", 90), ("FS [/]: Space: Used, in %", 40),
        ("/data: Space utilization", 55), ("Interface eth0: Bits received", 8_000_000),
        ("Interface eth1: Bits received", 16_000_000), ("Interface lo: Bits received", 8e9),
        ("System uptime", 86400), ("System description", "Linux web01"),
    ]  # fmt: skip
    text = "".join(zabbix_line(1778068800 + i, *each) for i, each in enumerate(values))
    rows, _, refused = read(tmp_path / "z.ndjson", text, "zabbix")
    assert rows == {
        ("web01", "12:00:00"): {
            "cpu_user_pct": 13, "mem_used_pct": 61, "swap_used_pct": 10, "disk_usage_pct": 55,
            "net_in_mb_s": 3, "uptime_days": 1,
        }
    }  # fmt: skip
    assert refused == 0


def test_zabbix_history_needs_the_names_of_its_items(tmp_path: Path) -> None:
    records = [{"itemid": "23296", "clock": "1778068800", "value": "12.5", "ns": "1"}]
    text = json.dumps({"jsonrpc": "2.0", "result": records, "id": 1})
    server = {"server": {"fixed": "web01"}}
    rows, notes, _ = read(tmp_path / "z.json", text, "zabbix", **server)
    assert rows == {}
    assert "write which metric it is" in notes[0]
    stated = {"cpu_idle_pct": {"field": "value", "where": {"itemid": 23296}}}
    assert read(tmp_path / "z.json", text, "zabbix", metrics=stated, **server).rows == {
        ("web01", "12:00:00"): {"cpu_idle_pct": 12.5}
    }


@pytest.mark.parametrize(
    ("name", "text", "stock"),
    [
        ("a.csv", "# hostname;interval;timestamp;CPU;%user\nh;1;2026-05-06 12:00:00 UTC;-1;3\n",
         "sadf"),
        ("a.json", '{"sysstat": {"hosts": []}}', "sadf_json"),
        ("a.csv", "time,user,system,iowait\n2026-05-06 12:00:00,12.5,3,1\n", "netdata"),
        ("a.csv", '"Time","{instance=""web01""}"\n2026-05-06 12:00:00,1\n', "grafana"),
        ("a.csv", '"(PDH-CSV 4.0)","\\\\A\\System\\Threads"\n05/06/2026 12:00:00.0,1\n',
         "typeperf"),
        ("a.csv", influx_table(",result,_time,_value,_field", ",,2026-05-06T12:00:00Z,1,x"),
         "influx"),
        ("a.jsonl", zabbix_line(1, "x", 1), "zabbix"),
        ("a.jsonl", azure_line("x", average=1), "azure"),
        ("a.csv", "Label,CPUUtilization\n,i-0\nTime,\n2026/05/06 12:00:00,1\n", "cloudwatch"),
    ],
)  # fmt: skip
def test_a_file_that_no_mapping_fits_names_the_stock_mapping_that_may(
    tmp_path: Path, name: str, text: str, stock: str
) -> None:
    _, notes, _ = read(tmp_path / name, text, "flat")
    assert any(f"stock = '{stock}'" in note and f"--like {stock}" in note for note in notes)


def test_the_fields_of_flat_documents_are_those_of_no_other_program() -> None:
    columns = columns_of([{"timestamp": "x", "server": "a", **dict.fromkeys(METRIC_NAMES, 1)}])
    assert similar_stock(columns.names) is None
    assert {"flat", "sadf", "grafana", "zabbix"} <= set(stock_names())


def test_the_documentation_lists_every_stock_mapping() -> None:
    text = (Path(__file__).parents[3] / "docs" / "sources.md").read_text()
    section = text[text.index("### Exports of other programs") :]
    listed = re.findall(r"^\| `(\w+)` \|", section[: section.index("\n## ")], re.MULTILINE)
    assert sorted(listed) == list(stock_names())
