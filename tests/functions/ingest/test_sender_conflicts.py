"""Two senders that write one server are noticed; a sender that follows another is not."""

import logging
from collections.abc import Sequence
from datetime import timedelta

import pyarrow as pa
import pytest

from functions.ingest import sender_conflicts
from functions.ingest.sender_conflicts import Labels, SenderConflicts, observe_rows
from storage.model.reject_log import RejectLog
from tests.conftest import NOW

S = 1_000_000
EU, US = frozenset({("cluster", "eu"), ("job", "n")}), frozenset({("cluster", "us"), ("job", "n")})
Request = tuple[str, Labels, Sequence[int], Sequence[float]]  # origin, labels, times [s], values


def notes_of(*requests: Request, metric: str = "node_load1", item: str = "") -> list[str]:
    """The sentences of all requests for one metric of a server, in the order of the requests."""
    conflicts, notes = SenderConflicts("name another label"), RejectLog()
    for origin, labels, times, values in requests:
        observe = conflicts.observer(origin, NOW, notes)
        observe("web1", metric, item, labels, [ts * S for ts in times], values)
    assert notes.count == 0  # nothing is refused
    return [each.sentence() for each in notes.ranked()]


@pytest.mark.parametrize(
    "requests",
    [
        [("p", EU, [0], [1.0]), ("p", US, [0], [7.0])],
        [("p", EU, [0], [1]), ("p", US, [7], [2]), ("p", EU, [15], [1]), ("p", US, [22], [2])],
        [("p", EU, [0, 15, 30], [1, 1, 1]), ("p", US, [7, 22], [2, 2])],
        [("p", EU, [0, 300], [1, 1]), ("p", US, [100], [1])],
    ],
    ids=["different values at one time", "in turn", "between each other", "every five minutes"],
)
def test_two_senders_of_a_server_are_noticed_with_what_tells_them_apart(
    requests: list[Request],
) -> None:
    [sentence] = notes_of(*requests)
    assert sentence == (
        "two senders write web1 at the same time, as node_load1: cluster=eu; cluster=us: "
        "name another label"
    )


def test_senders_with_equal_labels_are_told_apart_by_their_address() -> None:
    [sentence] = notes_of(("10.0.0.1 (a)", EU, [0, 15], [1, 2]), ("10.0.0.2 (a)", EU, [7], [9]))
    assert "node_load1: 10.0.0.1 (a); 10.0.0.2 (a)" in sentence


@pytest.mark.parametrize(
    "requests",
    [
        [("p", EU, [0, 15], [1, 1]), ("p", US, [30, 45], [2, 2])],
        [("p", EU, [0], [1]), ("p", US, [15], [2]), ("p", EU, [0], [1])],
        [("p", EU, [0, 15, 30], [1, 2, 3]), ("q", EU, [0, 15, 30], [1, 2, 3])],
        [("p", EU, [0, 2000], [1, 1]), ("p", US, [900, 1000], [2, 2])],
        [("p", EU, [0, 15, 30], [1, 2, 3]), ("p", EU, [7], [9])],
        [("p", EU, [0, 15], [1, float("nan")]), ("p", US, [15], [1])],
    ],
    ids=["a label changed", "sent again", "the same by two ways", "another took over meanwhile",
         "one sender", "the end of a series"],
)  # fmt: skip
def test_a_sender_alone_or_after_another_is_none(requests: list[Request]) -> None:
    assert notes_of(*requests) == []


def test_other_metrics_and_devices_of_a_server_are_no_conflict() -> None:
    conflicts, notes = SenderConflicts(""), RejectLog()
    observe = conflicts.observer("p", NOW, notes)
    observe("web1", "node_load1", "", EU, [0], [1.0])
    observe("web1", "up", "", US, [0], [2.0])
    observe("web1", "node_filesystem_avail_bytes", "sda", EU, [0], [1.0])
    observe("web1", "node_filesystem_avail_bytes", "sdb", US, [0], [2.0])
    observe("web2", "node_load1", "", US, [0], [2.0])
    assert not notes


def test_a_conflict_is_forgotten_when_a_sender_ends() -> None:
    conflicts, notes = SenderConflicts(""), RejectLog()
    for labels in (EU, US):
        conflicts.observer("p", NOW, RejectLog())("web1", "m", "", labels, [0], [len(labels - EU)])
    later = NOW + timedelta(minutes=11)
    conflicts.observer("p", later, notes)("web1", "m", "", EU, [S], [0.0])
    assert not notes


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender_conflicts, "MAX_WATCHED", 2)
    conflicts, notes = SenderConflicts(""), RejectLog()
    observe = conflicts.observer("p", NOW, notes)
    for number in range(5):
        observe(f"web{number}", "m", "", EU, [0], [1.0])
    for number in range(50):
        observe("web1", "m", "", frozenset({("pod", str(number))}), range(100), range(100))
    watched = conflicts._watched
    assert watched.keys() == {("web0", "m"), ("web1", "m")}
    [*streams] = watched["web1", "m"].streams
    assert len(streams) == sender_conflicts.MAX_STREAMS
    assert max(len(each.times) for each in streams) == sender_conflicts.KEPT_SAMPLES


def test_a_conflict_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        notes_of(*[("p", EU, [0], [1.0]), ("p", US, [0], [7.0])] * 3)
    [record] = caplog.records
    assert "two senders write web1" in record.getMessage()


def test_of_rows_the_newest_of_each_server_counts() -> None:
    rows = pa.table({
        "server": ["a", "a", "b"], "ts": pa.array([1, 2, 1], pa.timestamp("us", "UTC")),
        "cpu_user_pct": pa.array([None, None, 5.0]), "mem_used_pct": [1.0, 2.0, 3.0],
        "load_average": pa.array([None] * 3, pa.float32()),
    })  # fmt: skip
    seen: list[tuple[object, ...]] = []
    observe_rows(rows, {"a": "fra1"}, lambda *stream: seen.append(stream))
    assert seen == [
        ("a", "mem_used_pct", "", frozenset({("site", "fra1")}), (2,), (2.0,)),
        ("b", "cpu_user_pct", "", frozenset(), (1,), (5.0,)),
    ]
