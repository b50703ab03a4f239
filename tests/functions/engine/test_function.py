import importlib.util
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from functions.engine.function import Batch, DeprecatedArgument, Function, function
from functions.engine.triggers import every, rows
from storage.inbox.segment import Provenance
from storage.model.schema import UnknownTable, table

FACTS = table("server_facts").arrow.empty_table()


def registered(call: Callable[..., Any], *writes: str) -> Function:
    return function(on=every("5s"), writes=writes or "metrics")(call)


def test_the_decorator_registers_and_does_not_call() -> None:
    def explode() -> None:
        """Go off.

        Nobody reads this.
        """
        raise AssertionError

    made = registered(explode)
    assert (made.name, made.call, made.purpose) == ("explode", explode, "Go off.")
    assert (made.on, made.writes) == ((every("5s"),), ("metrics",))


def test_several_triggers_and_tables_stay_in_order() -> None:
    both = (rows("metrics"), every("1m"))
    made = function(on=both, writes=("forecasts", "models"))(lambda: Batch())
    assert made.on == both
    assert made.writes == ("forecasts", "models")


def test_a_table_that_the_lake_has_not_is_refused_at_registration() -> None:
    with pytest.raises(UnknownTable, match=r"no table 'metricks' \(expected one of .*metrics"):
        function(on=every("5s"), writes=("metrics", "metricks"))


def test_a_function_needs_what_its_signature_names() -> None:
    def ask(window: object, now: object, cursor: object) -> None: ...

    assert registered(ask).needs == ("window", "now", "cursor")


def test_an_argument_that_nobody_hands_out_is_refused_at_registration() -> None:
    def misspelt(now: object, widow: object) -> None: ...

    expected = (
        r"misspelt has the argument widow \(expected some of now, window, model, cursor, settings"
    )
    with pytest.raises(TypeError, match=expected):
        registered(misspelt)


def test_a_table_of_rows_is_a_batch_for_the_main_table() -> None:
    made = registered(lambda: None, "server_facts", "metrics")
    assert made.batch(FACTS).rows == {"server_facts": FACTS}


@pytest.mark.parametrize("wrong", [None, [], {"metrics": FACTS}])
def test_a_wrong_return_type_is_told_with_what_to_return(wrong: object) -> None:
    def lazy() -> None: ...

    expected = f"lazy returned {type(wrong).__name__}: return a pyarrow.Table of rows for 'metrics'"
    with pytest.raises(TypeError, match=expected):
        registered(lazy).batch(wrong)


def test_rows_for_a_table_not_named_are_told_with_where_to_name_it() -> None:
    def greedy() -> None: ...

    expected = r"greedy returned rows for truth: name the table in @function\(writes=…\), which has"
    with pytest.raises(TypeError, match=expected):
        registered(greedy).batch(Batch({"truth": FACTS}))


def test_a_batch_counts_its_rows_over_all_tables() -> None:
    one = pa.table({"server": ["a"]})
    two = pa.table({"server": ["a", "b"]})
    assert Batch({"metrics": one, "truth": two}).row_count == 3
    assert Batch().row_count == 0


SOURCE = '''
from hoursight import Batch, every, function

@function(on=every("5s"), writes="metrics")
def mine() -> Batch:
    """{purpose}"""
    return Batch()
'''


def load(path: Path, purpose: str, monkeypatch: pytest.MonkeyPatch) -> Function:
    path.write_text(SOURCE.format(purpose=purpose))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, path.stem, module)
    spec.loader.exec_module(module)
    result: Function = module.mine
    return result


def test_the_code_hash_changes_with_the_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = load(tmp_path / "one.py", "Old.", monkeypatch).code_hash
    same = load(tmp_path / "two.py", "Old.", monkeypatch).code_hash
    other = load(tmp_path / "three.py", "New.", monkeypatch).code_hash
    assert len(first) == 16
    assert first == same
    assert first != other


def test_the_former_name_of_the_model_argument_works_with_a_warning() -> None:
    def mine(shelf: object) -> None: ...

    expected = "the argument 'shelf' of mine ends with the next release: name it 'model'"
    with pytest.warns(DeprecatedArgument, match=expected):
        assert registered(mine).needs == ("shelf",)


def test_the_provenance_of_a_segment_has_every_field_of_a_batch() -> None:
    """Except for the rows themselves, `more` for the scheduler, and `answer` for a caller."""
    batch, provenance = ({f.name for f in fields(kind)} for kind in (Batch, Provenance))
    assert batch - provenance == {"rows", "more", "answer"}


def test_a_function_that_only_answers_returns_a_batch_without_rows() -> None:
    made = function(on=every("5s"), writes=())(lambda: Batch(answer=1))
    assert made.batch(Batch(answer=1)).answer == 1
    with pytest.raises(TypeError, match=r"returned Table: return a Batch$"):
        made.batch(FACTS)
