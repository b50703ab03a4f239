from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from functions.engine.runner import Runner
from functions.mark import KINDS, MAX_MARKS, mark
from storage.config.settings import Settings
from tests.conftest import NOW
from tests.functions.module_lakes import house_at


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    with house_at(tmp_path_factory.mktemp("marks")) as house:
        yield Runner(house.folders, Settings())


def marked(runner: Runner, body: Any) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
    """The rows and the reasons of one call."""
    run = runner.run(mark, "test", NOW, dry=True, body=body)
    assert run.error is None
    tables = run.batch.rows
    return (tables["marks"].to_pylist() if tables else []), run.batch.reasons


def test_a_mark_holds_as_long_as_its_kind_or_as_it_says(runner: Runner) -> None:
    bodies = [
        {"kind": "deploy", "pattern": "web-*"},
        {"kind": "silence", "pattern": "web-*"},
        {"kind": "silence", "pattern": "web-*", "lasts": "2h"},
        {"kind": "silence", "server": "a", "ends_at": "2026-05-06T14:00:30+02:00"},
    ]
    rows, reasons = marked(runner, bodies)
    hours = [row["ends_at"] and (row["ends_at"] - NOW) / timedelta(hours=1) for row in rows]
    assert (hours, reasons) == ([8.0, None, 2.0, 0.0], ())


def test_the_same_request_at_the_same_time_is_the_same_mark(runner: Runner) -> None:
    body = {"kind": "deploy", "server": "a", "made_by": "ci"}
    assert marked(runner, body) == marked(runner, body)
    assert marked(runner, body | {"mark": "build-7"})[0][0]["mark"] == "build-7"


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (None, "None is not a mark (expected an object such as"),
        ({"kind": "party", "server": "a"}, "kind is 'party', expected one of acknowledged"),
        ({"kind": "deploy"}, "nothing is given, expected one of server, pattern, episode"),
        ({"kind": "deploy", "server": "a", "pattern": "b"}, "server and pattern is given"),
        ({"kind": "acknowledged", "server": "a"}, "episode is missing"),
        ({"kind": "deploy", "server": "a", "lasts": "5 apples"}, "'5 apples' is not a valid"),
        ({"kind": "deploy", "server": "a", "starts_at": "2026-05-06T12:00:00"}, "no time zone"),
        ({"kind": "deploy", "server": "a", "until": "x"}, "until is not a key"),
        ({"kind": "acting", "episode": "gone"}, "there is no episode 'gone'"),
    ],
)
def test_what_cannot_be_a_mark_is_refused_in_words(runner: Runner, body: Any, named: str) -> None:
    rows, (reason,) = marked(runner, body)
    assert rows == []
    assert named in reason


def test_one_bad_mark_of_several_costs_only_itself(runner: Runner) -> None:
    good = {"kind": "deploy", "server": "a"}
    rows, (reason,) = marked(runner, [good, {"kind": "x", "server": "a"}, good | {"note": "2"}])
    assert len(rows) == 2
    assert reason.startswith("mark 2: ")
    rows, (reason,) = marked(runner, [good] * (MAX_MARKS + 1))
    assert (len(rows), "send the rest" in reason) == (MAX_MARKS, True)


def test_every_kind_of_servers_can_be_made(runner: Runner) -> None:
    targets = {kind: {"server": "a"} for kind in KINDS if kind not in ("acknowledged", "closed")}
    rows, _ = marked(runner, [{"kind": kind} | target for kind, target in targets.items()])
    assert {row["kind"] for row in rows} == set(targets)
