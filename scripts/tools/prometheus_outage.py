"""Outage test: a real Prometheus with default settings writes to Hoursight, which goes away.

    python -m scripts.tools.prometheus_outage --seconds 150 --repeat 3

Prometheus scrapes a node_exporter as 20 targets every 5 s and writes all series. Writer, collector
and site are killed, stay away and are started again. Then each scrape that Prometheus has must be
one row in the lake, and each sample sent, none failed and none dropped. Else it exits with 1.
"""

import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import click

from scripts.cli.output import print_grid
from scripts.ports import free_port
from scripts.python_process import module_command, module_environment
from storage.config.folders import Folders
from storage.config.settings import HostSettings, Settings, SourceSettings, write_settings
from storage.query.reader import LakeMissing, LakeUnreadable, QueryFailed, Reader

__all__ = ["OutageResult", "appended_of", "compare", "config_of", "counters_of"]

PROMETHEUS, EXPORTER = "prometheus", "prometheus-node-exporter"
BEFORE_S, AFTER_S = 30.0, 30.0
PATIENCE_S = 300.0
PROCESSES = {"writer": ["storage"], "collector": ["functions", "collector"], "site": ["web"]}
CONFIG = """\
global: {{scrape_interval: {every}, scrape_timeout: 4s}}
scrape_configs:
- job_name: node
  static_configs:
{targets}
remote_write:
- url: http://127.0.0.1:{site}/api/v1/write
"""
TARGET = '  - {{targets: ["127.0.0.1:{exporter}"], labels: {{instance: "target{n:02}:9100"}}}}'
COUNTER = re.compile(r"prometheus_remote_storage_(samples\w*)\{[^}]*\} (\S+)")
APPENDED = re.compile(r"^prometheus_tsdb_head_samples_appended_total\S* (\S+)", re.MULTILINE)
# Metrics that every scrape has, and those that need the scrape before it.
GAUGES = ("load_average", "mem_used_pct", "disk_usage_pct", "uptime_days")
RATES = ("cpu_idle_pct", "cpu_user_pct", "net_in_mb_s", "net_out_mb_s")
ROWS = f"""
SELECT server, epoch_ms(ts) AS at, {", ".join(GAUGES + RATES)}
FROM metrics WHERE source = 'remote_write'
"""

Scrape = tuple[str, int]  # server, and epoch milliseconds


@dataclass(frozen=True)
class OutageResult:
    """What Prometheus sent and what the lake has, after an outage."""

    counters: Mapping[str, int]  # of Prometheus, such as `samples_total` and `samples_failed_total`
    samples: int  # that Prometheus has stored and must have sent
    scrapes: int
    rows: int
    missing: int  # scrapes without a row
    doubled: int  # rows of a scrape that has another one
    empty: Mapping[str, int]  # NULL cells by metric

    @property
    def clean(self) -> bool:
        """True if nothing that Prometheus sent is missing or there twice."""
        lost = sum(self.counters.get(f"samples_{how}_total", 0) for how in ("failed", "dropped"))
        unsent = self.counters.get("samples_total", 0) < self.samples
        return not (
            lost or unsent or self.missing or self.doubled or any(map(self.empty.get, GAUGES))
        )


def config_of(exporter: int, site: int, targets: int, every: str = "5s") -> str:
    """Prometheus' configuration; all of remote write that is not named here is its default."""
    lines = [TARGET.format(exporter=exporter, n=n) for n in range(targets)]
    return CONFIG.format(site=site, every=every, targets="\n".join(lines))


def counters_of(exposition: str) -> dict[str, int]:
    """Prometheus' counts of samples, by name after `prometheus_remote_storage_`."""
    return {name: round(float(text)) for name, text in COUNTER.findall(exposition)}


def appended_of(exposition: str) -> int:
    """The number of samples that Prometheus has stored since its start."""
    return round(sum(float(text) for text in APPENDED.findall(exposition)))


def compare(
    counters: Mapping[str, int], samples: int, scrapes: set[Scrape],
    rows: Iterable[Mapping[str, object]],
) -> OutageResult:  # fmt: skip
    """Compare what Prometheus has stored and sent with the rows of the lake."""
    known = [row for row in rows if (row["server"], row["at"]) in scrapes]
    keys = {(row["server"], row["at"]) for row in known}
    empty = {name: sum(row[name] is None for row in known) for name in GAUGES + RATES}
    return OutageResult(
        counters,
        samples,
        len(scrapes),
        len(known),
        len(scrapes - keys),
        len(known) - len(keys),
        empty,
    )


class _Scene:
    """The processes of one test in a folder, and what Prometheus says of itself."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder, self._stack = folder, stack
        self.folders = Folders.at(folder / "var").create()
        write_settings(self.folders.data, Settings(sources=SourceSettings(HostSettings(False))))
        self._site, self._exporter, self._port = free_port(), free_port(), free_port()

    def start_prometheus(self, targets: int) -> None:
        """Start node_exporter and Prometheus, which writes to the site from now on."""
        config = self._folder / "prometheus.yml"
        config.write_text(config_of(self._exporter, self._site, targets))
        self._start("exporter", [EXPORTER, f"--web.listen-address=127.0.0.1:{self._exporter}"])
        self._start("prometheus", [
            PROMETHEUS, f"--config.file={config}",
            f"--storage.tsdb.path={self._folder / 'tsdb'}",
            f"--web.listen-address=127.0.0.1:{self._port}",
        ])  # fmt: skip

    @contextmanager
    def hoursight(self) -> Iterator[None]:
        """Run writer, collector and site within the context, and kill them at its end."""
        with ExitStack() as stack:
            for name, module in PROCESSES.items():
                more = ("--port", str(self._site)) if name == "site" else ()
                command = module_command(*module, "--data", self.folders.data, *more)
                self._start(name, command, stack)
            yield

    def counters(self) -> dict[str, int]:
        """The counters of samples, from Prometheus' own metrics."""
        return counters_of(self._get("/metrics").decode())

    def scrapes(self) -> set[Scrape]:
        """All scrapes that Prometheus has stored."""
        query = urllib.parse.urlencode({"query": "node_load1[1d]"})
        found = json.loads(self._get(f"/api/v1/query?{query}"))["data"]["result"]
        return {
            (series["metric"]["instance"].partition(":")[0], round(at * 1000))
            for series in found for at, _ in series["values"]
        }  # fmt: skip

    def rows(self) -> list[dict[str, object]]:
        """The rows of remote write in the lake."""
        try:
            with closing(Reader.open(self.folders.data)) as reader:
                rows: list[dict[str, object]] = reader.query(ROWS).to_pylist()
                return rows
        except (LakeMissing, LakeUnreadable, QueryFailed):  # the writer starts
            return []

    def appended(self) -> int:
        """How many samples of all series Prometheus has stored so far."""
        return appended_of(self._get("/metrics").decode())

    def is_written(self, samples: int, until_ms: int) -> bool:
        """Return True if so many samples were sent, and each scrape until then is a whole row."""
        if self.counters().get("samples_total", 0) < samples:
            return False
        whole = {
            (row["server"], row["at"]) for row in self.rows()
            if None not in (row[name] for name in GAUGES)
        }  # fmt: skip
        return {scrape for scrape in self.scrapes() if scrape[1] <= until_ms} <= whole

    def _get(self, path: str) -> bytes:
        with urllib.request.urlopen(f"http://127.0.0.1:{self._port}{path}", timeout=30) as reply:
            return bytes(reply.read())

    def _start(self, name: str, command: list[str], stack: ExitStack | None = None) -> None:
        with (self._folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                command, env=module_environment(), stdout=log, stderr=subprocess.STDOUT
            )

        def kill() -> None:
            process.kill()
            process.wait()

        (stack or self._stack).callback(kill)


def _outage(folder: Path, seconds: float, targets: int) -> OutageResult:
    """Play one outage, and wait until Prometheus has sent what it kept."""
    with ExitStack() as stack:
        scene = _Scene(folder, stack)
        with scene.hoursight():
            scene.start_prometheus(targets)
            time.sleep(BEFORE_S)
        time.sleep(seconds)
        with scene.hoursight():
            time.sleep(AFTER_S)
            until_ms, samples = round(time.time() * 1000), scene.appended()
            with suppress(TimeoutError):  # what is missing is counted
                _wait(lambda: scene.is_written(samples, until_ms))
            scrapes = {scrape for scrape in scene.scrapes() if scrape[1] <= until_ms}
            return compare(scene.counters(), samples, scrapes, scene.rows())


def _wait(condition: Callable[[], bool]) -> None:
    give_up = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > give_up:
            raise TimeoutError
        time.sleep(2)


def _cells(number: int, result: OutageResult) -> list[str]:
    counters = [result.counters.get(f"samples{name}_total", 0) for name in
                ("", "_retried", "_failed", "_dropped")]  # fmt: skip
    figures = (
        result.samples,
        *counters,
        result.scrapes,
        result.rows,
        result.missing,
        result.doubled,
    )
    return [str(number), *(f"{figure:,}" for figure in figures), json.dumps(dict(result.empty))]


@click.command()
@click.option("--seconds", default=150.0, show_default=True, help="Length of the outage.")
@click.option("--targets", default=20, show_default=True, help="Targets of Prometheus.")
@click.option("--repeat", default=1, show_default=True, help="How often.")
@click.option("--keep", is_flag=True, help="Leave the folders and their logs.")
def main(seconds: float, targets: int, repeat: int, keep: bool) -> None:
    """Play outages, and count."""
    for program in (PROMETHEUS, EXPORTER):
        if shutil.which(program) is None:
            raise click.ClickException(f"{program} is not installed: apt-get install {program}")
    results = []
    for _ in range(repeat):
        folder = Path(tempfile.mkdtemp(prefix="hoursight-outage-"))
        try:
            results.append(_outage(folder, seconds, targets))
        finally:
            if keep:
                click.echo(f"everything is in {folder}", err=True)
            else:
                shutil.rmtree(folder, ignore_errors=True)
    print_grid(
        ["run", "samples", "sent", "retried", "failed", "dropped", "scrapes", "rows", "missing",
         "doubled", "NULL cells"],
        [_cells(number, result) for number, result in enumerate(results, 1)],
    )  # fmt: skip
    sys.exit(0 if all(result.clean for result in results) else 1)


if __name__ == "__main__":
    main()
