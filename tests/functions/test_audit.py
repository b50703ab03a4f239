"""The function `audit`: rows as the site reports them, and what is refused."""

from collections.abc import Iterator
from typing import Any

import pytest

from functions.audit import MAX_ENTRIES, audit
from functions.engine.runner import Runner
from storage.config.settings import Settings
from tests.conftest import NOW
from tests.functions.module_lakes import house_at

LOGIN = {
    "entry": "1", "ts": NOW.isoformat(), "actor": "ann", "role": "operator",
    "shown_by": "user", "action": "login", "address": "10.0.0.5", "outcome": "done",
}  # fmt: skip


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    with house_at(tmp_path_factory.mktemp("audit")) as house:
        yield Runner(house.folders, Settings())


def audited(runner: Runner, body: Any) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
    """The rows and the reasons of one call."""
    run = runner.run(audit, "test", NOW, dry=True, body=body)
    assert run.error is None
    tables = run.batch.rows
    return (tables["audit"].to_pylist() if tables else []), run.batch.reasons


def test_an_entry_is_a_row_at_its_own_time(runner: Runner) -> None:
    (row,), reasons = audited(runner, [LOGIN])
    assert reasons == ()
    assert (row["ts"], row["actor"], row["target"], row["reason"]) == (NOW, "ann", None, None)


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("x", "entry 2: 'x' is not an entry"),
        ({**LOGIN, "ts": "2026-05-06T12:00:00"}, "entry 2: ts has no time zone"),
        ({**LOGIN, "colour": 1}, "colour"),
        ({"ts": "2026-05-06T12:00:00Z"}, "entry"),
    ],
)
def test_an_entry_that_is_not_valid_is_refused_alone(runner: Runner, entry, words) -> None:
    rows, (reason,) = audited(runner, [LOGIN, entry])
    assert len(rows) == 1
    assert words in reason


def test_more_entries_than_the_limit_are_refused_with_the_remedy(runner: Runner) -> None:
    rows, reasons = audited(runner, [LOGIN] * (MAX_ENTRIES + 2))
    assert len(rows) == MAX_ENTRIES
    assert reasons == ("more than 1000 entries: send the rest in another request",)
