"""`python -m scripts.tools.bench store|peers|model|push|sources [--json FILE]`."""

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


@click.group()
def bench() -> None:
    """Measure, beside a limit or a peer in the same run."""


@bench.command(epilog="Example: python -m scripts.tools.bench store --servers 1000 --hours 24")
@click.option("--servers", default=1000, show_default=True)
@click.option("--hours", default=24.0, show_default=True)
@click.option(
    "--json", "path", type=click.Path(path_type=Path), help="Write the figures there too."
)
def store(servers: int, hours: float, path: Path | None) -> None:
    """The store: append, commit, bulk, bytes, queries, late data, visibility."""
    from scripts.tools.bench.store_bench import figures

    _report(figures(servers, hours), path, {"servers": servers, "hours": hours})


@bench.command(epilog="Example: python -m scripts.tools.bench model --servers 10000")
@click.option("--servers", default=10_000, show_default=True)
@click.option(
    "--json", "path", type=click.Path(path_type=Path), help="Write the figures there too."
)
def model(servers: int, path: Path | None) -> None:
    """The model: alone, beside its peers, whole cycles, start, memory; needs the train extra."""
    from scripts.tools.bench.model_bench import figures

    _report(figures(servers), path, {"servers": servers})


def _report(figures: Iterable[Figure], path: Path | None, about: dict[str, object]) -> None:
    found = []
    for figure in figures:
        click.echo(f"{figure.name}: {figure.value:.3g} {figure.unit}")
        found.append(figure)
    show(found)
    if path is not None:
        versions = {"duckdb": duckdb.__version__, "pyarrow": pa.__version__}
        machine = {"python": platform.python_version(), "cores": os.cpu_count()}
        at = {"at": datetime.now(UTC).isoformat(), "load": os.getloadavg()}
        write_json(found, path, about | at | versions | machine)


@bench.command(epilog="Example: python -m scripts.tools.bench push --seconds 10 --connections 4")
@click.option("--seconds", default=10.0, show_default=True, help="How long each load lasts.")
@click.option("--connections", default=4, show_default=True, help="How many send at a time.")
@click.option(
    "--json", "path", type=click.Path(path_type=Path), help="Write the figures there too."
)
def push(seconds: float, connections: int, path: Path | None) -> None:
    """Pushed rows: JSON records and line protocol, to one worker of the site."""
    from scripts.tools.bench.push_bench import figures

    found = list(figures(seconds, connections))
    show(found)
    if path is not None:
        write_json(found, path, {"seconds": seconds, "connections": connections,
                                 "cores": os.cpu_count()})  # fmt: skip


@bench.command(epilog="Example: python -m scripts.tools.bench sources")
@click.option(
    "--json", "path", type=click.Path(path_type=Path), help="Write the figures there too."
)
def sources(path: Path | None) -> None:
    """Sources: documents to segments; a real MongoDB, from its documents to SQL."""
    from scripts.tools.bench import mongodb_bench
    from scripts.tools.bench.sources_bench import figures

    _report(chain(figures(), mongodb_bench.figures()), path, {})


@bench.command(epilog="Example: python -m scripts.tools.bench peers --hosts 100 --hours 12")
@click.option("--hosts", default=100, show_default=True)
@click.option("--hours", default=12.0, show_default=True)
@click.option(
    "--json", "path", type=click.Path(path_type=Path), help="Write the figures there too."
)
def peers(hosts: int, hours: float, path: Path | None) -> None:
    """What a user might pick instead, on a TSBS-style workload."""
    from scripts.tools.bench.peers.compare import as_json, compare, show

    results, absent = compare(hosts, hours)
    show(results, absent)
    if path is not None:
        about = {"hosts": hosts, "hours": hours, "cores": os.cpu_count()}
        path.write_text(json.dumps({"about": about} | as_json(results, absent), indent=1) + "\n")


if __name__ == "__main__":
    bench()
