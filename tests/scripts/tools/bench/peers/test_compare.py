from collections.abc import Iterator

import pyarrow as pa
import pytest

from scripts.tools.bench.peers.bare_duckdb import BareDuckdb
from scripts.tools.bench.peers.compare import PeerResult, _same, as_json, show
from scripts.tools.bench.peers.hoursight_peer import HoursightPeer
from scripts.tools.bench.peers.peer import Peer
from scripts.tools.bench.peers.tsbs_workload import QUERIES, Span, TsbsQuery, readings


@pytest.fixture(scope="module")
def workload() -> tuple[pa.Table, Span]:
    return readings(hosts=40, hours=1)


@pytest.fixture(scope="module")
def peers(
    workload: tuple[pa.Table, Span], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[Peer]]:
    """Our lake and a plain DuckDB file with the same rows."""
    rows, _ = workload
    made: list[Peer] = [
        make(tmp_path_factory.mktemp("peer") / "db") for make in (HoursightPeer, BareDuckdb)
    ]
    for peer in made:
        peer.load(rows)
    yield made
    for peer in made:
        peer.close()


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.name)
def test_the_lake_and_a_plain_file_have_the_same_result(
    peers: list[Peer], workload: tuple[pa.Table, Span], query: TsbsQuery
) -> None:
    ours, theirs = (sorted(peer.query(query, workload[1])) for peer in peers)
    assert len(ours) > 0
    assert _same(ours, theirs)


def test_peers_measure_what_they_store(peers: list[Peer]) -> None:
    assert all(peer.stored_bytes() > 10_000 for peer in peers)


def test_an_empty_result_is_not_the_same_as_another() -> None:
    assert not _same([], [])
    assert not _same([1.0], [1.0, 2.0])
    assert not _same([1.0], [1.1])


def test_the_table_marks_other_values_and_names_what_is_missing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    times = {query.name: 1.0 for query in QUERIES}
    ours = PeerResult("ours", "1", 1e6, 1.5, times, dict.fromkeys(times, True))
    other = PeerResult("other", "2", 1e6, 3, times, dict.fromkeys(times, False))
    show([ours, other], {"third": "apt-get install third"})
    out = capsys.readouterr().out
    assert out.count("1.00 × ≠") == len(QUERIES)
    assert "third is not installed and left out: apt-get install third" in out
    assert as_json([ours], {})["missing"] == {}
