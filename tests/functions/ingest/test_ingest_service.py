"""From a request to a segment: durable before it is answered, whole, and over a crash."""

import gzip
import json
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from functions.ingest.ingest_service import IngestService
from functions.ingest.remote_write import WriteRequest
from functions.ingest.row_assembly import RowAssembler
from storage.config.folders import Folders
from storage.config.settings import RemoteWriteSettings, Settings, write_settings
from storage.inbox.segment import provenance_of
from storage.ipc.push_protocol import Push
from tests.conftest import NOW, LakeFixture

WITHIN_S = 30.0
ROUNDS = 2000
TS = "2026-05-06T12:00:00Z"
NS = 1778068800_000_000_000


class IngestClient:
    """An service that is asked as the site asks it."""

    def __init__(self, folders: Folders) -> None:
        self.folders = folders.create()
        self.service = IngestService(folders, clock=lambda: NOW)

    def push(
        self, kind: str, body: bytes, encoding: str = "identity", sender: str = "", **more: str
    ) -> Any:
        status, answer = self.service.handle(Push(kind, body, encoding, more, sender).packed())
        return status, msgspec.json.decode(answer) if answer else None

    def flush(self, source: str, times: int = 2) -> None:
        for _ in range(times):
            self.service.buffers[source].flush()

    def rows(self) -> list[dict[str, Any]]:
        """All rows of metrics that lie in the inbox."""
        paths = self.folders.inbox.glob("*-metrics-*.parquet")
        rows = [row for path in paths for row in pq.read_table(path).to_pylist()]
        return sorted(rows, key=lambda row: (row["ts"], row["server"]))

    def reasons(self) -> list[str]:
        """What the segments of the inbox say of refusals and conflicts."""
        paths = self.folders.inbox.glob("*-metrics-*.parquet")
        return [reason for path in paths for reason in provenance_of(path).reasons]

    def pending(self) -> list[Path]:
        return sorted(self.folders.pending.glob("*"))


@pytest.fixture
def door(tmp_path: Path) -> IngestClient:
    return IngestClient(Folders.at(tmp_path))


def lines(*texts: str) -> bytes:
    return "\n".join(f"{text} {NS}" for text in texts).encode()


def written(at_ms: int, **series: float) -> bytes:
    """A remote write of node_exporter's series, each as `name__label__value`."""
    request = WriteRequest()
    for key, value in series.items():
        name, *pairs = key.split("__")
        one = request.timeseries.add()
        labels = {"__name__": name, "instance": "web1:9100", "job": "node"}
        labels |= dict(zip(pairs[::2], pairs[1::2], strict=True))
        for label, text in labels.items():
            one.labels.add(name=label, value=text)
        one.samples.add(value=value, timestamp=at_ms)
    return bytes(pa.compress(request.SerializeToString(), codec="snappy", asbytes=True))


def test_records_are_in_a_segment_when_they_are_answered(door: IngestClient) -> None:
    sent = [{"server": s, "ts": TS, "mem_used_pct": 50, "site": "fra"} for s in "ab"]
    status, told = door.push("records", json.dumps([*sent, {"server": "c"}]).encode())
    assert status == 200
    assert (told["accepted"], told["refused"]) == (2, 1)
    assert told["reasons"][0]["example"] == {"server": "c"}
    assert [row["server"] for row in door.rows()] == ["a", "b"]
    [path] = door.folders.inbox.glob("*-server_facts-*")
    assert provenance_of(path).function == "feed"
    assert pq.read_table(path)["site"].to_pylist() == ["fra", "fra"]


def test_a_record_for_each_metric_repeats_nothing_and_the_same_one_again_does(
    door: IngestClient,
) -> None:
    sent = [{"server": "a", "ts": TS, name: 50} for name in ("mem_used_pct", "load_average")]
    for one in sent:
        assert door.push("records", json.dumps([one]).encode())[1]["repeated"] == 0
    status, answer = door.push("records", json.dumps([*sent, {"server": "b", "ts": TS}]).encode())
    assert (status, answer["accepted"], answer["refused"], answer["repeated"]) == (200, 2, 1, 2)


def test_records_of_which_none_can_be_used_are_422(door: IngestClient) -> None:
    status, told = door.push("records", b'[{"server": "a", "ts": "2026-05-06T12:00:00Z"}]')
    assert (status, told["refused"], door.rows()) == (422, 1, [])
    assert "no metric is in the record" in told["message"]


def test_lines_of_one_moment_in_several_requests_become_one_row(door: IngestClient) -> None:
    assert door.push("lines", lines("m,host=a mem_used_pct=1", "m,host=b load_average=2")) == (
        204, None,
    )  # fmt: skip
    assert len(door.pending()) == 1  # it is on the disk
    door.flush("influx", 1)
    assert door.push("lines", gzip.compress(lines("n,host=a swap_used_pct=3")), "gzip")[0] == 204
    door.flush("influx", 1)
    assert [(r["server"], r["mem_used_pct"], r["swap_used_pct"]) for r in door.rows()] == [
        ("a", 1.0, 3.0), ("b", None, None),
    ]  # fmt: skip
    door.flush("influx")
    assert len(door.rows()) == 2
    assert door.pending() == []


def test_what_was_taken_outlives_the_process(door: IngestClient) -> None:
    door.push("lines", lines("m,host=a mem_used_pct=1"))
    door.push("remote_write", written(NS // 10**6, node_load1=1.5), "snappy")
    (door.folders.pending / "torn-influx-1.partial").write_bytes(b"\x00")
    (door.folders.pending / "0-influx-1.push").write_bytes(b"\xff")
    again = IngestClient(door.folders)
    again.service.recover()
    again.flush("influx")
    again.flush("remote_write")
    assert [(r["server"], r["source"]) for r in again.rows()] == [
        ("a", "influx"), ("web1", "remote_write"),
    ]  # fmt: skip
    assert again.pending() == []
    assert (door.folders.rejected / "0-influx-1.push").exists()


def test_rows_that_the_disk_does_not_take_wait_for_it(door: IngestClient) -> None:
    door.push("lines", lines("m,host=a mem_used_pct=1"))
    inbox = door.folders.inbox
    inbox.rmdir()
    with pytest.raises(OSError, match="cannot be reached"):
        door.flush("influx")
    assert len(door.pending()) == 1
    status, told = door.push("records", b'[{"server":"a","ts":"2026-05-06T12:00:00Z","load":1}]')
    assert status == 503
    assert "mount its disk" in told["message"]
    inbox.mkdir()
    door.flush("influx", 1)
    assert [row["mem_used_pct"] for row in door.rows()] == [1.0]
    assert door.pending() == []


def test_clamped_values_are_counted_in_the_answer_and_in_the_log(door: IngestClient) -> None:
    body = b'[{"server":"a","ts":"2026-05-06T12:00:00Z","cpu_user_pct":100.005}]'
    status, told = door.push("records", body)
    assert (status, told["values_clamped"], told["values_refused"]) == (200, 1, 0)
    [row] = door.rows()
    assert row["cpu_user_pct"] == 100
    [path] = door.folders.inbox.glob("*-metrics-*.parquet")
    assert provenance_of(path).clamped == 1


def test_what_cannot_be_put_together_is_put_aside_and_the_rest_goes_on(
    door: IngestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = lines("m,host=a mem_used_pct=1")
    door.push("lines", body)
    with monkeypatch.context() as patch:
        patch.setattr(RowAssembler, "rows", lambda *_: 1 / 0)
        door.flush("influx")
    assert len(list(door.folders.rejected.glob("*.push"))) == 1
    door.push("lines", body)
    door.flush("influx")
    assert len(door.rows()) == 1


def test_bad_lines_are_400_and_the_good_ones_are_taken(door: IngestClient) -> None:
    status, told = door.push("lines", lines("m,host=a mem_used_pct=1", "m,host=a"))
    assert (status, told["code"]) == (400, "bad request")
    assert "1 of 2 lines were refused, the others were taken" in told["message"]
    door.flush("influx")
    assert [row["server"] for row in door.rows()] == ["a"]


@pytest.mark.parametrize(
    ("body", "more", "status", "says"),
    [
        (lines("kernel,host=a x=1"), {}, 422, "none of 1 lines has one of our metrics"),
        (b"\xff", {}, 400, "not UTF-8"),
        (b"m,host=a load1=1", {"precision": "d"}, 400, "precision is 'd': choose one of ns"),
    ],
)  # fmt: skip
def test_lines_that_are_refused_as_a_whole(
    door: IngestClient, body: bytes, more: dict[str, str], status: int, says: str
) -> None:
    result, told = door.push("lines", body, **more)
    assert result == status
    assert says in told["message"]
    assert door.pending() == []


def test_a_scrape_in_two_requests_is_one_row_and_the_next_has_rates(door: IngestClient) -> None:
    first_ms = NS // 10**6

    def scrape(at_ms: int, scale: float, received: float) -> None:
        cpu = {"user": 40, "system": 10, "iowait": 5, "idle": 45}
        modes = {f"node_cpu_seconds_total__cpu__0__mode__{m}": s * scale for m, s in cpu.items()}
        user = modes.popitem()
        door.push("remote_write", written(at_ms, node_load1=2, **modes), "snappy")
        rest = {
            "node_network_receive_bytes_total__device__eth0": received,
            "node_network_receive_bytes_total__device__lo": 9 * received,
            "node_boot_time_seconds": NS / 10**9 - 86_400, "up": 1, user[0]: user[1],
            "node_memory_MemTotal_bytes": 100, "node_memory_MemAvailable_bytes": float("nan"),
        }  # fmt: skip
        door.push("remote_write", written(at_ms, **rest), "snappy")

    scrape(first_ms - 15_000, 1, 1e6)
    door.flush("remote_write")
    scrape(first_ms, 1.1, 31e6)
    door.flush("remote_write")
    first, second = door.rows()
    assert (first["cpu_user_pct"], first["net_in_mb_s"]) == (None, None)
    shares = [second[f"cpu_{name}_pct"] for name in ("user", "sys", "iowait", "idle")]
    assert shares == pytest.approx([40, 10, 5, 45], rel=1e-4)
    assert second["net_in_mb_s"] == pytest.approx(2.0)
    assert (second["uptime_days"], second["mem_used_pct"]) == (1.0, None)


def test_series_that_are_not_for_us_leave_nothing(door: IngestClient) -> None:
    assert door.push("remote_write", written(NS // 10**6, up=1), "snappy") == (204, None)
    assert door.pending() == []


def test_the_writer_commits_what_was_pushed(house: LakeFixture) -> None:
    door = IngestClient(house.folders)
    good = b'{"server":"a","ts":"2026-05-06T12:00:00Z","load":1}'
    assert door.push("records", b'[{"load":1}]')[0] == 422
    door.push("records", b"[" + good + b',{"server":"b","load":1}]')
    door.push("lines", lines("m,host=b load_average=2", "m,host=c"))
    door.flush("influx")
    assert house.commit().rejected == ()
    result = house.reader.query("SELECT server, load_average, source FROM metrics ORDER BY server")
    assert result.to_pylist() == [
        {"server": "a", "load_average": 1.0, "source": "feed"},
        {"server": "b", "load_average": 2.0, "source": "influx"},
    ]
    ledger = "SELECT sum(rows_refused)::INT FROM segments WHERE table_name = 'metrics'"
    assert house.one(ledger) == 3
    told = house.one("SELECT list_sort(refusals) FROM segments WHERE rows_refused = 2")
    assert [reason[:9] for reason in told] == ["no server", "no time: "]


LONG, SHORT = "2001:db8:0:0:0:0:5:1", "2001:DB8::5:1"


def push_load(door: IngestClient, kind: str, server: str, load: float, sender: str = "") -> None:
    """Push one value for one time through an endpoint of the push API, and write it."""
    if kind == "records":
        body = json.dumps([{"server": server, "ts": TS, "load_average": load}]).encode()
        status, _ = door.push("records", body, sender=sender)
    elif kind == "lines":
        status, _ = door.push("lines", lines(f"m,host={server} load_average={load}"), sender=sender)
        door.flush("influx")
    else:
        body = written(NS // 10**6, **{f"node_load1__instance__{server}": load})
        status, _ = door.push("remote_write", body, "snappy", sender)
        door.flush("remote_write")
    assert status in (200, 204)


@pytest.mark.parametrize("kind", ["records", "lines", "remote_write"])
def test_two_spellings_of_an_address_are_one_server(door: IngestClient, kind: str) -> None:
    push_load(door, kind, LONG, 1.0)
    push_load(door, kind, SHORT, 1.0)
    push_load(door, kind, "2001:db8::5:2", 1.0)
    assert [row["server"] for row in door.rows()] == [
        "2001:db8::5:1", "2001:db8::5:1", "2001:db8::5:2",
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["records", "lines", "remote_write"])
def test_two_senders_of_one_server_are_named_beside_the_rows(door: IngestClient, kind: str) -> None:
    push_load(door, kind, "localhost", 1.0, "10.0.0.1 (Prometheus/2.42.0)")
    push_load(door, kind, "localhost", 1.0, "10.0.0.2 (Prometheus/2.42.0)")
    assert door.reasons() == []  # the same value by two ways
    push_load(door, kind, "localhost", 7.0, "10.0.0.3 (Prometheus/2.42.0)")
    [reason] = door.reasons()
    assert "two senders write localhost at the same time" in reason
    assert "10.0.0.1 (Prometheus/2.42.0); 10.0.0.3 (Prometheus/2.42.0)" in reason
    assert "name another label, or several, in remote_write.server_label" in reason


def test_two_exporters_of_one_machine_conflict_only_in_a_metric_that_both_have(
    door: IngestClient,
) -> None:
    at_ms = NS // 10**6
    loads = {"node_load1__instance__two:9100": 1.0}
    others = {"node_memory_MemTotal_bytes__instance__two:9256": 4.0,
              "node_memory_MemAvailable_bytes__instance__two:9256": 2.0}  # fmt: skip
    for series in (loads, others):
        door.push("remote_write", written(at_ms, **series), "snappy")
        door.flush("remote_write")
    assert door.reasons() == []
    door.push("remote_write", written(at_ms, **{"node_load1__instance__two:9256": 2.0}), "snappy")
    door.flush("remote_write")
    [reason] = door.reasons()
    assert "two senders write two at the same time, as node_load1" in reason
    assert "instance=two:9100; instance=two:9256" in reason


def test_labels_of_choice_name_the_servers_of_remote_write(tmp_path: Path) -> None:
    both = RemoteWriteSettings(["cluster", "instance"])
    write_settings(tmp_path, Settings(remote_write=both))
    door = IngestClient(Folders.at(tmp_path))
    for cluster in ("eu", "us"):
        body = written(NS // 10**6, **{f"node_load1__cluster__{cluster}": 1.5})
        assert door.push("remote_write", body, "snappy") == (204, None)
    door.flush("remote_write")
    assert [row["server"] for row in door.rows()] == ["eu/web1", "us/web1"]
    assert door.reasons() == []


def test_a_series_without_the_label_is_refused_alone_and_the_label_named(tmp_path: Path) -> None:
    write_settings(tmp_path, Settings(remote_write=RemoteWriteSettings("nodename")))
    door = IngestClient(Folders.at(tmp_path))
    body = written(NS // 10**6, node_load1=1, node_boot_time_seconds__nodename__n1=1.7e9)
    status, told = door.push("remote_write", body, "snappy")
    assert status == 400
    assert told["reasons"][0]["count"] == 1
    assert "label nodename: missing" in told["message"]
    door.flush("remote_write")
    assert [row["server"] for row in door.rows()] == ["n1"]


def test_the_devices_that_count_by_the_settings_are_facts_of_the_server(tmp_path: Path) -> None:
    folders = Folders.at(tmp_path).create()
    folders.settings.write_text('[devices.links]\nexclude = ["eth0"]\n')
    door = IngestClient(folders)
    link = "node_network_receive_bytes_total__device__"
    volume = "__device__sda1__mountpoint__/data__fstype__ext4"
    body = written(
        1778068800_000,
        **{f"{link}eth0": 5, f"{link}eth1": 5, f"{link}docker0": 5},
        **{f"node_filesystem_{part}_bytes{volume}": 50 for part in ("size", "free", "avail")},
    )
    assert door.push("remote_write", body, "snappy")[0] == 204
    door.flush("remote_write")
    [path] = folders.inbox.glob("*-server_facts-*.parquet")
    [fact] = pq.read_table(path).to_pylist()
    assert (fact["disk_volume"], fact["net_links"]) == ("/data", "eth1")


def test_a_boot_in_the_future_is_refused_with_its_reason(door: IngestClient) -> None:
    at_ms = 1778068800_000
    body = written(at_ms, node_load1=1.0, node_boot_time_seconds=at_ms / 1000 + 500)
    assert door.push("remote_write", body, "snappy")[0] == 204
    door.flush("remote_write")
    [row] = door.rows()
    assert (row["load_average"], row["uptime_days"]) == (1.0, None)
    [path] = door.folders.inbox.glob("*-metrics-*.parquet")
    assert "the boot lies after its sample" in provenance_of(path).reasons[0]


AHEAD_S = NS // 10**9 + 3600
PUSHED_AHEAD = [
    ("remote_write", "remote_write", written(AHEAD_S * 1000, node_load1=1.5), "snappy", 400),
    ("lines", "influx", f"m,host=web1 load_average=1 {AHEAD_S}000000000".encode(), "identity", 400),
    ("records", "feed", f'[{{"server": "web1", "ts": {AHEAD_S}, "load": 1}}]'.encode(),
     "identity", 422),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "source", "body", "encoding", "answer"), PUSHED_AHEAD)
def test_a_sender_whose_clock_is_ahead_is_told_in_the_answer_and_on_the_page_of_sources(
    house: LakeFixture, kind: str, source: str, body: bytes, encoding: str, answer: int
) -> None:
    door = IngestClient(house.folders)
    status, told = door.push(kind, body, encoding)
    assert status == answer
    [reason] = told["reasons"]
    assert "lies more than 5 minutes in the future: check the sender's clock" in reason["reason"]
    assert "web1" in reason["example"]
    if source == "feed":
        door.service.flush_refusals()
    else:
        door.flush(source)
    house.commit()
    [(by, refused, refusals)] = [
        (row["function"], row["rows_refused"], row["refusals"])
        for row in house.reader.query("SELECT * FROM segments").to_pylist()
    ]
    assert (by, refused) == (source, 1)
    assert "lies more than 5 minutes in the future" in refusals[0]
    assert "web1" in refusals[0]


def test_the_limits_of_times_are_those_of_the_settings(tmp_path: Path) -> None:
    (tmp_path / "hoursight.toml").write_text('[times]\nmax_ahead = "2h"\n')
    door = IngestClient(Folders.at(tmp_path))
    kind, _, body, encoding, _ = PUSHED_AHEAD[0]
    assert door.push(kind, body, encoding) == (204, None)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("records", b"[" + b"[]," * 2_000_000 + b"[]]"), ("lines", b"a,b=c d=1\n" * 500_000),
    ],
)  # fmt: skip
def test_a_small_body_of_many_values_is_refused_before_any_is_built(
    door: IngestClient, kind: str, body: bytes
) -> None:
    packed = gzip.compress(body, mtime=0)
    assert len(packed) < 50_000
    status, answer = door.push(kind, packed, "gzip")
    assert (status, answer["remedy"]) == (413, "send it in parts")
    assert "MiB of memory" in answer["message"]


ABC = ("a", "b", "c")
FLOOD = [
    ("records", 200, json.dumps([{"server": s, "ts": TS, "load": 1} for s in ABC]).encode(),
     "identity"),
    ("lines", 400, "\n".join(f"system,host={s} load1=1 {NS}" for s in ABC).encode(), "identity"),
    ("remote_write", 400,
     written(NS // 10**6, **{f"node_load1__instance__{s}:9100": 1.0 for s in ABC}), "snappy"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "status", "body", "encoding"), FLOOD)
def test_new_servers_over_the_limit_are_refused_in_the_answer(
    tmp_path: Path, kind: str, status: int, body: bytes, encoding: str
) -> None:
    (tmp_path / "hoursight.toml").write_text("[servers]\nnew_per_hour = 2\n")
    door = IngestClient(Folders.at(tmp_path))
    answered, payload = door.push(kind, body, encoding)
    assert answered == status
    [reason] = payload["reasons"]
    assert reason["reason"].startswith("server: more than 2 new servers within an hour")
    assert (reason["example"], reason["count"]) == ("c", 1)
    for source in ("influx", "remote_write"):
        door.flush(source)
    assert [row["server"] for row in door.rows()] == ["a", "b"]
    assert any("new servers within an hour" in reason for reason in door.reasons())
