"""`python -m scripts.tools.bench store|peers|model|push|sources|site_pages [--json FILE]`."""

import json
import os
import platform
from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path

import click
import duckdb
import pyarrow as pa

from scripts.tools.bench.measure import Figure, show, write_json

json_option = click.option(
    "--json", "path", type=click.Path(path_type=Path), help="Write the figures there too."
)


@click.group()
def bench() -> None:
    """Measure our figures, each beside a limit or a peer in the same run."""


@bench.command(epilog="Example: python -m scripts.tools.bench store --servers 1000 --hours 24")
@click.option("--servers", default=1000, show_default=True)
@click.option("--hours", default=24.0, show_default=True)
@json_option
def store(servers: int, hours: float, path: Path | None) -> None:
    """Measure the store: append, commit, bulk load, bytes, queries, late data, visibility."""
    from scripts.tools.bench.store_bench import figures

    _report(figures(servers, hours), path, {"servers": servers, "hours": hours})


@bench.command(epilog="Example: python -m scripts.tools.bench model --servers 10000")
@click.option("--servers", default=10_000, show_default=True)
@json_option
def model(servers: int, path: Path | None) -> None:
    """Measure the model alone, beside peers and in whole cycles; needs the train extra."""
    from scripts.tools.bench.model_bench import figures

    _report(figures(servers), path, {"servers": servers})


@bench.command(epilog="Example: python -m scripts.tools.bench push --seconds 10 --connections 4")
@click.option("--seconds", default=10.0, show_default=True, help="How long each load lasts.")
@click.option("--connections", default=4, show_default=True, help="How many send at a time.")
@json_option
def push(seconds: float, connections: int, path: Path | None) -> None:
    """Measure pushed rows: JSON records and line protocol, to one worker of the site."""
    from scripts.tools.bench.push_bench import figures

    _report(figures(seconds, connections), path, {"seconds": seconds, "connections": connections})


@bench.command(epilog="Example: python -m scripts.tools.bench sources")
@json_option
def sources(path: Path | None) -> None:
    """Measure sources: documents to segments; a real MongoDB, from its documents to SQL."""
    from scripts.tools.bench import mongodb_bench
    from scripts.tools.bench.sources_bench import figures

    _report(chain(figures(), mongodb_bench.figures()), path, {})


@bench.command(
    "site_pages", epilog="Example: python -m scripts.tools.bench site_pages --servers 1000"
)
@click.option("--servers", multiple=True, type=int, default=(100, 1000, 5000), show_default=True)
@click.option("--rounds", default=20, show_default=True, help="Requests of each page.")
@json_option
def site_pages(servers: tuple[int, ...], rounds: int, path: Path | None) -> None:
    """Measure the pages of the site: time, CPU and compressed bytes, a commit before each."""
    from scripts.tools.bench.site_pages import figures

    _report(figures(servers, rounds), path, {"servers": list(servers), "rounds": rounds})


@bench.command(epilog="Example: python -m scripts.tools.bench peers --hosts 100 --hours 12")
@click.option("--hosts", default=100, show_default=True)
@click.option("--hours", default=12.0, show_default=True)
@json_option
def peers(hosts: int, hours: float, path: Path | None) -> None:
    """Compare with other databases on a TSBS-style workload."""
    from scripts.tools.bench.peers.compare import as_json, compare, show

    results, missing = compare(hosts, hours)
    show(results, missing)
    if path is not None:
        about = {"hosts": hosts, "hours": hours, "cores": os.cpu_count()}
        path.write_text(json.dumps({"about": about} | as_json(results, missing), indent=1) + "\n")


def _report(figures: Iterable[Figure], path: Path | None, about: dict[str, object]) -> None:
    measured = []
    for figure in figures:
        click.echo(f"{figure.name}: {figure.value:.3g} {figure.unit}")
        measured.append(figure)
    show(measured)
    if path is not None:
        versions = {"duckdb": duckdb.__version__, "pyarrow": pa.__version__}
        machine = {"python": platform.python_version(), "cores": os.cpu_count()}
        at = {"at": datetime.now(UTC).isoformat(), "load": os.getloadavg()}
        write_json(measured, path, about | at | versions | machine)


if __name__ == "__main__":
    bench()
