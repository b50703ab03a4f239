"""Our own errors: one base, told apart by class and flag; what is caught broadly has its reason."""

import ast
import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest

from functions.ingest.rejection import PushRejected
from storage.errors import HoursightError, LakeMissing, LakeUnreadable
from storage.inbox.segment import SegmentNotWritten

ROOT = Path(__file__).parents[2]
ROOMS = ("storage", "functions", "model_export", "web", "scripts")
BROAD = {"Exception", "BaseException"}


def sources() -> Iterator[tuple[Path, str]]:
    paths = [ROOT / "hoursight.py", *(p for room in ROOMS for p in (ROOT / room).rglob("*.py"))]
    return ((path, path.read_text()) for path in paths)


def handlers() -> list[tuple[Path, str, bool]]:
    """Each `except` of the product: its file, its line, and whether it is broad."""
    return [
        (path, text.splitlines()[node.lineno - 1], bool(BROAD & names_in(node.type)))
        for path, text in sources()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.ExceptHandler)
    ]


def names_in(node: ast.expr | None) -> set[str]:
    if node is None:
        return BROAD
    return {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}


def test_an_error_says_its_message_and_its_remedy() -> None:
    assert str(HoursightError("the disk is full", "make room")) == "the disk is full: make room"
    assert str(HoursightError("nothing more is known")) == "nothing more is known"


def test_only_temporary_errors_are_retryable(tmp_path: Path) -> None:
    assert LakeMissing(tmp_path).retryable
    assert LakeUnreadable("damaged").retryable
    assert not HoursightError("a wrong key").retryable
    assert HoursightError("a busy disk", retryable=True).retryable


def test_an_error_can_also_be_one_of_pythons_classes() -> None:
    error = SegmentNotWritten("3 rows were not taken", "make room")
    assert isinstance(error, OSError)
    assert (str(error), error.remedy) == ("3 rows were not taken: make room", "make room")
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
    assert (str(again), again.retryable) == (str(error), True)


def test_a_push_that_is_refused_tells_cause_and_remedy_apart() -> None:
    refused = PushRejected(400, "time: 5 apples", "write: epoch seconds")
    assert (refused.message, refused.remedy) == ("time: 5 apples", "write: epoch seconds")


def test_every_exception_class_of_the_product_has_the_one_base() -> None:
    classes = {
        node.name: [base.id for base in node.bases if isinstance(base, ast.Name)]
        for _, text in sources()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.ClassDef)
    }

    def ours(name: str) -> bool:
        return name == "HoursightError" or any(map(ours, classes.get(name, [])))

    raising = ("Error", "Exception")
    errors = [name for name, bases in classes.items() if any(b.endswith(raising) for b in bases)]
    assert len(errors) > 40
    # PackageShadowed says that the package of the common base cannot be imported.
    based = {"HoursightError", "PackageShadowed"}
    assert [name for name in errors if name not in based and not ours(name)] == []


def test_few_excepts_are_broad_and_each_of_those_says_why() -> None:
    broad = [(path.name, line) for path, line, is_broad in handlers() if is_broad]
    assert len(broad) <= 0.05 * len(handlers())
    assert [each for each in broad if "  # " not in each[1]] == []


@pytest.mark.parametrize("told_by_text", ['startswith("LakeMissing', "in str(error)", "NO_LAKE"])
def test_duckdbs_text_is_read_in_one_place(told_by_text: str) -> None:
    readers = {path.name for path, text in sources() if told_by_text in text}
    assert readers <= {"duckdb_errors.py"}
