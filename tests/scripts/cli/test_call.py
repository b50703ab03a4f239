from pathlib import Path
from typing import Any

import pytest

from scripts.cli.call import NotCalled, call_function
from tests.conftest import NOW, LakeFixture
from tests.functions.engine.engine_scenes import save

ECHO = """
@function(on=request(), writes="server_facts")
def echo(now, body):
    return facts(now) if body else Batch()
"""


@pytest.fixture
def data(house: LakeFixture) -> Path:
    """A data folder with a function that writes a row for a body, and none without."""
    save(house.folders, "echo", ECHO)
    return house.folders.data


def call(data: Path, **options: Any) -> tuple[bool, list[str]]:
    usual: dict[str, Any] = {
        "once": True, "body": None, "files": (), "verbose": False, "dry_run": False,
    }  # fmt: skip
    lines: list[str] = []
    succeeded = call_function(
        data, "echo", NOW, lambda line, **_: lines.append(line), **(usual | options)
    )
    return succeeded, lines


def test_a_call_prints_how_many_rows_it_wrote(data: Path) -> None:
    assert call(data, body="{}") == (True, ["echo: nothing to do"])
    succeeded, lines = call(data, body='{"a": 1}')
    assert succeeded
    assert lines[-1] == "echo: 1 rows for server_facts, in the inbox"


def test_a_dry_run_leaves_the_inbox_empty(data: Path) -> None:
    assert call(data, body="[1]", dry_run=True)[1][-1].endswith("not written (dry run)")
    assert list((data / "inbox").glob("*-server_facts-*")) == []


def test_a_function_without_a_schedule_cannot_be_repeated(data: Path) -> None:
    with pytest.raises(NotCalled, match="echo has no schedule to repeat: leave --repeat out"):
        call(data, once=False)


@pytest.mark.parametrize("body", ["{", "[" * 70 + "]" * 70, "[123456789012345678901234567890]"])
def test_a_body_that_is_not_valid_is_an_error(data: Path, body: str) -> None:
    with pytest.raises(NotCalled, match=r"--body '.*' is not valid JSON: "):
        call(data, body=body)
