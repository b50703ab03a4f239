"""Connector contract: each kind of source has a module that implements it, and loads lazily."""

import importlib
import inspect
import subprocess
import sys
from typing import get_args, get_type_hints

import msgspec
import pytest

from functions.connectors.connector import Connector, Page, ReadOptions
from functions.connectors.source_file import SourceFile

KINDS = get_args(get_type_hints(SourceFile)["kind"])


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_has_a_connect_that_takes_its_connection_and_the_options(kind: str) -> None:
    connect = importlib.import_module(f"functions.connectors.{kind}").connect
    hints = get_type_hints(connect)
    assert issubclass(hints["connection"], msgspec.Struct)
    assert hints["options"] is ReadOptions


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_returns_a_connector_with_the_methods_of_the_contract(kind: str) -> None:
    connect = importlib.import_module(f"functions.connectors.{kind}").connect
    connector = get_type_hints(connect)["return"]
    for name in ("pages", "close"):
        expected = inspect.signature(getattr(Connector, name)).parameters
        assert list(inspect.signature(getattr(connector, name)).parameters) == list(expected)


def test_a_page_is_neither_final_nor_repeated_at_once_unless_it_says_so() -> None:
    page = Page([{"ts": 1}], position=7)
    assert (page.notes, page.refused, page.final, page.again) == ((), 0, False, False)


def test_the_clients_of_sources_are_not_imported_before_a_source_needs_them() -> None:
    code = (
        "import sys, functions.connectors.source_file, functions.connectors.incremental_read; "
        "print(*sorted({'pymongo', 'elasticsearch', 'httpx'} & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.split() == []
