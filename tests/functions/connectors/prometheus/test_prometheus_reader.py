"""The Prometheus adapter against real ones, which are filled by remote write and by scrapes."""

import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme

from functions.connectors.incremental_read import IncrementalRead
from functions.connectors.source_file import read_source
from functions.engine.function import Batch, Unreachable
from scripts.ports import free_port
from storage.config.folders import Folders
from tests.conftest import NOW
from tests.functions.connectors.connector_contract import Chain, Contract, Rig, documents, expected
from tests.functions.prometheus_server import (
    EXPORTER,
    PASSWORD,
    Labels,
    PrometheusServer,
    needs_prometheus,
    until,
)

pytestmark = needs_prometheus
# Old samples are taken in any order, so that each test brings history of its own.
OLD = "storage: {tsdb: {out_of_order_time_window: 60d}}\n"
SCRAPES = """\
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
- {{job_name: node, static_configs: [{{targets: ["127.0.0.1:{port}"], labels: {{rack: r7}}}}]}}
"""
BOOTED = 1_700_000_000.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificates, and the data of a server."""
    folder = tmp_path_factory.mktemp("prometheus")
    authority, stranger = trustme.CA(), trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    stranger.cert_pem.write_to_path(str(folder / "other.pem"))
    made = authority.issue_cert("127.0.0.1")
    made.private_key_and_cert_chain_pem.write_to_path(str(folder / "server.pem"))
    return folder


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[PrometheusServer]:
    """One that speaks TLS only and asks for a password."""
    server = PrometheusServer(folder, OLD, tls=True)
    server.start()
    yield server
    server.close()


@pytest.fixture
def job(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A label of each test's own series."""
    monkeypatch.setenv("PROMETHEUS_PASSWORD", PASSWORD)
    return str(request.node.name)


Text = Callable[..., str]


@pytest.fixture
def text(server: PrometheusServer, folder: Path, job: str) -> Text:
    """Writes a source file."""

    def write(
        connection: str = "", head: str = 'history = "1h"', rest: str = "", **keys: Any
    ) -> str:
        told = {
            "url": server.url, "ca_file": str(folder / "ca.pem"), "job": job, "timeout": "1s",
            "user": "reader", "password_env": "PROMETHEUS_PASSWORD", "step": "5s",
        } | keys  # fmt: skip
        lines = "".join(f"{name} = {value!r}\n" for name, value in told.items() if value)
        return f'kind = "prometheus"\n{head}\n[connection]\n{lines}{connection}\n{rest}'

    return write


@pytest.fixture
def draw_of(tmp_path: Path) -> Iterator[Callable[[str], IncrementalRead]]:
    """Makes a draw of a source file; hangs up at the end."""
    made = []

    def make(text: str) -> IncrementalRead:
        made.append(IncrementalRead(read_source("prom", text.encode(), Folders.at(tmp_path))))
        return made[-1]

    yield make
    for draw in made:
        draw.close()


def back(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def rows_of(batch: Batch, name: str = "cpu_user_pct") -> dict[datetime, Any]:
    """One metric by its times."""
    rows = batch.rows.get("metrics") if batch.rows else None
    return {row["ts"]: row.get(name) for row in rows.to_pylist()} if rows else {}


def all_of(
    draw: IncrementalRead, cursor: str | None = None, now: datetime = NOW
) -> tuple[list[Any], Any]:
    """What all runs bring until there is no more, and the last batch."""
    found: list[Any] = []
    while True:
        batch = draw.run(now, cursor)
        cursor = batch.cursor or cursor
        if batch.rows and batch.rows["metrics"].num_rows:
            found += batch.rows["metrics"].to_pylist()
        if not batch.more:
            return found, cursor


def gauge(
    job: str, name: str, values: Mapping[datetime, float], instance: str = "db1:9100", **more: str
) -> tuple[Labels, list[tuple[datetime, float]]]:
    return {"__name__": name, "job": job, "instance": instance, **more}, list(values.items())


def fleet(job: str, times: list[datetime], instance: str = "db1:9100", boots: float = BOOTED,
          cores: int = 2, **counted: float) -> list[Any]:  # fmt: skip
    """The series of a server that spends 20 % of each core in user mode and receives 1 MB/s."""
    first = times[0].timestamp() - counted.get("since", 0)
    grown = {at: at.timestamp() - first for at in times}
    shares = {"user": 0.2, "system": 0.1, "iowait": 0.0, "idle": 0.7}
    series = [
        gauge(job, "node_boot_time_seconds", dict.fromkeys(times, boots), instance),
        gauge(job, "node_network_receive_bytes_total", {at: 1e6 * s for at, s in grown.items()},
              instance, device="eth0"),
        gauge(job, "node_network_receive_bytes_total", {at: 9e9 * s for at, s in grown.items()},
              instance, device="veth7"),
        gauge(job, "node_load1", dict.fromkeys(times, 0.5), instance),
    ]  # fmt: skip
    for core in range(cores):
        for mode, share in shares.items():
            values = {at: share * s for at, s in grown.items()}
            series.append(
                gauge(job, "node_cpu_seconds_total", values, instance, cpu=str(core), mode=mode)
            )
    return series


def every(step_s: float, start_s: float, end_s: float = 0) -> list[datetime]:
    """Times from so long before NOW until so long before it."""
    count = int((start_s - end_s) / step_s)
    return [back(start_s - i * step_s) for i in range(count)]


def test_a_scrape_is_a_row_at_its_own_time_whatever_the_step(server, job, text, draw_of):
    times = every(15, 303.217, 3)
    server.put(fleet(job, times))
    for step in ("5s", "15s"):
        rows, _ = all_of(draw_of(text(step=step)))
        assert [row["ts"] for row in rows] == times
        assert rows[0]["server"] == "db1"
        assert (rows[0]["cpu_user_pct"], rows[0]["load_average"]) == (None, 0.5)
        for row in rows[1:]:
            assert row["cpu_user_pct"] == pytest.approx(20, rel=1e-5)
            assert row["net_in_mb_s"] == pytest.approx(1, rel=1e-5)
    minutes, _ = all_of(draw_of(text(step="1m")))
    assert {row["ts"] for row in minutes} < set(times)
    assert [row["net_in_mb_s"] for row in minutes[1:]] == pytest.approx([1.0] * len(minutes[1:]))


def test_a_counter_that_begins_again_tells_nothing_and_then_tells_on(server, job, text, draw_of):
    server.put(fleet(job, every(5, 100, 60), since=5000))
    server.put(fleet(job, every(5, 60), boots=BOOTED + 9e6, since=4990))  # grown all the same
    rows = rows_of(draw_of(text()).run(NOW, None))
    assert rows[back(60)] is None
    assert rows[back(100)] is None
    others = [v for at, v in rows.items() if at not in (back(60), back(100))]
    assert others == pytest.approx([20] * 18)


def test_cores_that_come_or_go_are_no_progress(server, job, text, draw_of):
    server.put(fleet(job, every(5, 60, 30), since=100, cores=2))
    server.put(fleet(job, every(5, 30), since=130, cores=4))
    batch = draw_of(text()).run(NOW, None)
    rows = rows_of(batch)
    assert rows.pop(back(60)) is None
    assert rows.pop(back(30)) is None
    assert list(rows.values()) == pytest.approx([20] * 10)
    assert batch.rows["server_facts"]["cores"].to_pylist()[0] == 4


def test_a_server_that_is_gone_leaves_a_hole(server, job, text, draw_of):
    times = [*every(5, 500, 400), *every(5, 200, 150)]  # no mark says that it ended
    server.put(fleet(job, times))
    rows, _ = all_of(draw_of(text()))
    assert [row["ts"] for row in rows] == times


def test_history_of_more_than_11000_points_comes_whole_and_in_order(server, job, text, draw_of):
    times = every(300, 30 * 86_400)
    loads = {at: float(i % 7) for i, at in enumerate(times)}
    booted = dict.fromkeys(times, BOOTED)
    server.put([gauge(job, "node_boot_time_seconds", booted), gauge(job, "node_load1", loads)])
    draw = draw_of(text(step="1m", timeout="5s", head='history = "30d"'))
    cursor: str | None = None
    found: list[Any] = []
    while (batch := draw.run(NOW, cursor)).more or batch.cursor:
        cursor = batch.cursor or cursor
        found += rows_of(batch, "load_average").items()
    assert found == list(loads.items())
    assert len(times) == 8640  # at 43,200 steps


def test_a_scrape_that_lands_late_is_seen_once(server, job, text, draw_of):
    draw = draw_of(text())
    server.put(fleet(job, every(5, 300)))
    first, cursor = all_of(draw)
    server.put(fleet(job, every(5, 100, 50), instance="late:9100"))
    second, cursor = all_of(draw, cursor, NOW + timedelta(seconds=40))
    third, _ = all_of(draw, cursor, NOW + timedelta(seconds=80))
    assert len(first) == 60
    assert [row["ts"] for row in second if row["server"] == "late"] == every(5, 100, 50)
    assert len(second) == 10
    assert third == []


def test_what_the_server_finds_too_much_is_asked_in_smaller_pieces(server, job, text, draw_of):
    """It reads at most 50,000 samples for a query here: of one step there are 1,792."""
    times = every(5, 150)
    for i in range(7):
        server.put(fleet(job, times, instance=f"s{i}:9100", cores=64))
    rows, _ = all_of(draw_of(text(timeout="5s")))
    assert len(rows) == len({(row["server"], row["ts"]) for row in rows}) == 7 * len(times)


def test_a_server_that_two_jobs_scrape_is_left_out_and_one_with_a_new_label_is_not(
    server, job, text, draw_of
):
    times = every(5, 60)
    server.put(
        [
            gauge(job, "up", dict.fromkeys(times, 1), "twice:1"),
            gauge(job, "up", {at + timedelta(seconds=2): 1 for at in times}, "twice:2"),
            gauge(job, "up", dict.fromkeys(times[:6], 1), "moved:1", rack="a"),
            gauge(job, "up", dict.fromkeys(times[6:], 1), "moved:1", rack="b"),
            *(gauge(job, "node_load1", dict.fromkeys(times, 1), s) for s in ("twice:1", "moved:1")),
        ]
    )
    batch = draw_of(text(clock="up")).run(NOW, None)
    assert batch.rows["metrics"]["server"].to_pylist() == ["moved"] * len(times)
    assert any("twice has several series up{" in reason for reason in batch.reasons)


def test_queries_and_labels_of_ones_own_are_mapped(server, job, text, draw_of):
    times = every(5, 60)
    server.put(
        [
            gauge(job, "up", dict.fromkeys(times, 1), "web1:80", dc="fra1", role="db"),
            gauge(job, "jvm", dict.fromkeys(times, 0.25), "web1:80"),
            gauge(job, "jvm", dict.fromkeys(times, 1.5), "elsewhere:80"),
        ]
    )
    own = f"queries = {{ java = 'sum by (instance) (jvm{{job=\"{job}\"}})', odd = 'vector(1)' }}"
    mapping = """
[mapping]
cores = { number = 4 }
site = { field = "labels.dc" }
profile = { field = "labels.role", values = { db = "database" } }
[mapping.metrics]
java_cpu_pct = { field = "java", unit = "core_fraction" }
"""
    batch = draw_of(text(own, clock="up", rest=mapping)).run(NOW, None)
    assert rows_of(batch, "java_cpu_pct") == dict.fromkeys(times, pytest.approx(6.25))
    [fact] = batch.rows["server_facts"].to_pylist()
    assert (fact["server"], fact["site"], fact["profile"]) == ("web1", "fra1", "database")
    assert any("vector(1) has series without the label 'instance'" in r for r in batch.reasons)


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"user": "stranger"}, r"refused the credentials of 'stranger' \(401\): check user"),
        ({"url": "http"}, "expects TLS: write https in url"),
        ({"url": "nobody"}, "nothing listens at .*: check url"),
        ({"url": "prefix"}, r"there is no Prometheus API at .* \(404: .*with the prefix"),
        ({"match": "rack=="}, r"Prometheus refused .* \(400\): .*parse error.*: mend the query"),
    ],
)  # fmt: skip
def test_trouble_is_told_with_the_remedy(server, text, draw_of, keys, says):
    urls = {
        "http": f"http://127.0.0.1:{server.port}", "nobody": f"http://127.0.0.1:{free_port()}",
        "prefix": f"{server.url}/prometheus",
    }  # fmt: skip
    keys = {name: urls.get(value, value) for name, value in keys.items()}
    authority = {"ca_file": None} if keys.get("url", "").startswith("http:") else {}
    with pytest.raises(Unreachable, match=says):
        draw_of(text(**keys, **authority)).run(NOW, None)


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"url": "ftp://x"}, "url is 'ftp://x': write it like"),
        ({"url": "https://me:secret@x"}, "url holds credentials: write user"),
        ({"step": "10m"}, "step is '10m', expected 1s to 5m"),
        ({"ca_file": "/nowhere.pem"}, "check ca_file, certificate_file and headers"),
        ({"token_env": "PROMETHEUS_PASSWORD"}, "user and a token both say who asks"),
    ],
)
def test_a_mistake_in_the_file_is_told(text, draw_of, keys, says):
    with pytest.raises(ValueError, match=says):
        draw_of(text(**keys)).run(NOW, None)


class PrometheusRig(Rig):
    """The CPU counters of a fleet whose shares are those of the documents."""

    page = 200

    def __init__(self, server: PrometheusServer, text: Text, job: str, other: Path) -> None:
        self.server, self.job, self._text, self._other = server, job, text, other
        self._spent: dict[str, dict[str, float]] = {}
        self._last: dict[str, datetime] = {}

    def text(self, **connection: Any) -> str:
        return self._text(clock="up", **connection)

    def put(self, documents: list[dict[str, Any]]) -> None:
        series: dict[tuple[tuple[str, str], ...], list[tuple[datetime, float]]] = {}
        for each in documents:
            name, at = each["hostname"], each["ts"]
            spent = self._spent.setdefault(name, {"user": 0.0, "system": 0.0, "idle": 0.0})
            before = at - timedelta(seconds=5)
            if self._last.get(name) != before:
                self._tell(series, name, before, spent)
            spent["user"] += each["cpu_user"] / 20
            spent["idle"] += (100 - each["cpu_user"]) / 20
            self._tell(series, name, at, spent)
            self._last[name] = at
        self.server.put([(dict(labels), samples) for labels, samples in series.items()])

    def _tell(self, series: Any, name: str, at: datetime, spent: dict[str, float]) -> None:
        base = {"job": self.job, "instance": f"{name}:9100"}
        told = [({"__name__": "up"}, 1.0)] + [
            ({"__name__": "node_cpu_seconds_total", "cpu": "0", "mode": mode}, seconds)
            for mode, seconds in spent.items()
        ]
        for labels, value in told:
            series.setdefault(tuple((base | labels).items()), []).append((at, value))

    def stop(self) -> None:
        self.server.kill()

    def start(self) -> None:
        self.server.start()

    def wrong_password(self) -> str:
        return self.text().replace("PROMETHEUS_PASSWORD", "HOME")

    def wrong_ca(self) -> str:
        return self.text(ca_file=str(self._other))

    @contextmanager
    def slow(self) -> Iterator[str]:
        self.server.send(signal.SIGSTOP)
        try:
            yield self.text(timeout="200ms")
        finally:
            self.server.send(signal.SIGCONT)


class TestPrometheus(Contract):
    @pytest.fixture
    def rig(self, server: PrometheusServer, text: Text, job: str, folder: Path) -> Rig:
        return PrometheusRig(server, text, job, folder / "other.pem")

    def test_bad_documents_are_refused_in_words_and_the_others_kept(
        self, rig: Rig, chain: Chain
    ) -> None:
        """It holds numbers only, each with a time: what is left are values that cannot be true."""
        docs = documents(0, 5)
        rig.put(docs)
        times = [doc["ts"] for doc in docs[::3]]
        values = dict(zip(times, (45.0, 4520.0, float("nan"), float("inf"), -1.0), strict=True))
        assert isinstance(rig, PrometheusRig)
        rig.server.put([gauge(rig.job, "mem", values, "web0:80"), gauge(rig.job, "up", values, "")])
        own = f"queries = {{ mem_used_pct = 'mem{{job=\"{rig.job}\"}}' }}"
        run = chain.run_all(rig.text(connection=own))
        assert run.outcome == "ok"
        assert chain.samples() == expected(docs)
        kept = chain.house.reader.query("SELECT mem_used_pct m FROM metrics WHERE m IS NOT NULL")
        assert kept["m"].to_pylist() == [45.0]
        told = chain.house.one("SELECT refusals FROM segments WHERE len(refusals) > 0")
        assert any("mem_used_pct" in reason and "4520" in reason for reason in told)
        assert any("without the label 'instance'" in reason for reason in told)

    def test_an_empty_source_is_no_trouble_and_writes_nothing(self, rig: Rig, chain: Chain) -> None:
        run = chain.run_all(rig.text())
        assert (run.outcome, run.error) == ("nothing", None)
        assert "nothing was found by up{job=" in chain.house.one("SELECT refusals[1] FROM segments")
        assert not chain.samples()


def test_this_host_arrives_scrape_by_scrape_from_a_real_exporter(tmp_path, draw_of):
    exporter, port = None, free_port()
    server = PrometheusServer(tmp_path, SCRAPES.format(port=port))
    try:
        exporter = subprocess.Popen(
            [str(EXPORTER), f"--web.listen-address=127.0.0.1:{port}"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        server.start()
        draw = draw_of(
            f'kind = "prometheus"\nhistory = "1m"\nmapping.site.field = "labels.rack"\n'
            f'[connection]\nurl = "{server.url}"\nstep = "1s"\njob = "node"\n'
        )
        rows: list[dict[str, Any]] = []
        cursor = None

        def three() -> bool:
            nonlocal cursor
            more, cursor = all_of(draw, cursor, datetime.now(UTC))
            rows.extend(more)
            return len(rows) >= 3

        until(three, "three rows")
        scrapes = server.client.get("/api/v1/query", params={"query": "node_load1[5m]"}).json()
    finally:
        server.close()
        if exporter:
            exporter.kill()
            exporter.wait()
    theirs = {round(at * 1000): float(load) for at, load in scrapes["data"]["result"][0]["values"]}
    ours = {round(row["ts"].timestamp() * 1000): row["load_average"] for row in rows}
    assert ours == pytest.approx({at: theirs[at] for at in ours})
    assert len(ours) == len(rows)
    for row in rows[1:]:
        shares = [row[f"cpu_{part}_pct"] for part in ("user", "sys", "iowait", "idle")]
        assert 50 < sum(shares) <= 100.01
        assert 0 < row["mem_used_pct"] < 100
        assert 0 < row["disk_usage_pct"] <= 100
        assert row["uptime_days"] > 0
        assert row["net_in_mb_s"] >= 0
