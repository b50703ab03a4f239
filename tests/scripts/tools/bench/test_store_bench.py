from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.tools.bench.store_bench import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A lake of two servers with a quarter of an hour of samples."""
    bench = Bench(tmp_path, servers=2, hours=0.25)
    list(bench.bulk())
    yield bench
    bench.close()


def test_bulk_load_commits_the_samples_of_the_time_span(bench: Bench) -> None:
    count = bench.reader.query("SELECT count(*) AS n FROM metrics")["n"][0].as_py()
    assert count == 2 * 15 * 60 // 5


def test_late_samples_and_forecasts_are_measured(bench: Bench) -> None:
    figures = [*bench.late(), *bench.forecasts(), *bench.sizes()]
    assert [figure.name for figure in figures if figure.value <= 0] == []
    assert len(figures) == 5
