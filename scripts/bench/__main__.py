"""`python -m scripts.bench store|peers [--json FILE]`."""

import json
import os
import platform
from datetime import UTC, datetime
from pathlib import Path

import click
import duckdb
import pyarrow as pa

from scripts.bench.measure import show, write_json


@click.group()
def bench() -> None:
    """Measure, beside a limit or a peer in the same run."""


@bench.command(epilog="Example: python -m scripts.bench store --servers 1000 --hours 24")
@click.option("--servers", default=1000, show_default=True)
@click.option("--hours", default=24.0, show_default=True)
@click.option(
    "--json", "path", type=click.Path(path_type=Path), help="Write the figures there too."
)
def store(servers: int, hours: float, path: Path | None) -> None:
    """The store: append, commit, bulk, bytes, queries, late data, visibility."""
    from scripts.bench.store import figures

    found = []
    for figure in figures(servers, hours):
        click.echo(f"{figure.name}: {figure.value:.3g} {figure.unit}")
        found.append(figure)
    show(found)
    if path is not None:
        about = {"servers": servers, "hours": hours, "at": datetime.now(UTC).isoformat()}
        versions = {"duckdb": duckdb.__version__, "pyarrow": pa.__version__}
        write_json(found, path, about | versions | {"python": platform.python_version(),
                                                    "cores": os.cpu_count()})  # fmt: skip


@bench.command(epilog="Example: python -m scripts.bench peers --hosts 100 --hours 12")
@click.option("--hosts", default=100, show_default=True)
@click.option("--hours", default=12.0, show_default=True)
@click.option(
    "--json", "path", type=click.Path(path_type=Path), help="Write the figures there too."
)
def peers(hosts: int, hours: float, path: Path | None) -> None:
    """What a user might pick instead, on a TSBS-style workload."""
    from scripts.bench.peers.compare import as_json, compare, show

    results, absent = compare(hosts, hours)
    show(results, absent)
    if path is not None:
        about = {"hosts": hosts, "hours": hours, "cores": os.cpu_count()}
        path.write_text(json.dumps({"about": about} | as_json(results, absent), indent=1) + "\n")


if __name__ == "__main__":
    bench()
