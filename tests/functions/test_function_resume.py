"""Resume of a suspended function: the row that ends its series of failures, and refusals."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from functions.engine.triggers import every
from functions.engine.window import Window
from functions.function_resume import function_resume
from functions.function_states import function_infos
from tests.conftest import NOW, LakeFixture
from tests.functions.module_lakes import house_at
from tests.functions.test_function_states import ended, file_of


@pytest.fixture(scope="module")
def sunk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LakeFixture]:
    with house_at(tmp_path_factory.mktemp("resume")) as house:
        file_of(house.folders, "sunk", every("5s"))
        house.put("runs", ended("sunk", 6))
        house.commit()
        yield house


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (None, "name is missing"), ({"name": "nix"}, "no function 'nix'; there are"),
        ({"name": 3}, "name is 3"), ([], "expected"),
    ],
)  # fmt: skip
def test_a_resume_of_nothing_is_refused_in_words(sunk: LakeFixture, body: Any, said: str) -> None:
    batch = function_resume.call(window=Window(sunk.reader, NOW), body=body)
    assert (batch.refused, batch.rows) == (1, {})
    assert said in batch.reasons[0].lower()


def test_what_is_not_suspended_needs_no_resume(sunk: LakeFixture) -> None:
    batch = function_resume.call(window=Window(sunk.reader, NOW), body={"name": "rollup"})
    assert "is not suspended" in batch.answer["text"]
    assert batch.rows == {}


def test_resume_ends_the_series_of_failures(sunk: LakeFixture) -> None:
    window = Window(sunk.reader, NOW + timedelta(seconds=1))
    batch = function_resume.call(window=window, body={"name": "sunk"})
    assert "runs again" in batch.answer["text"]
    sunk.put("runs", batch.rows["runs"])
    sunk.commit()
    after = next(info for info in function_infos(window) if info.name == "sunk")
    assert (after.suspended, after.failures) == (False, 0)
