"""What a worker process loads."""

import sys
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest

from functions.engine.executors.worker_protocol import CodeSource
from functions.normalize.strict_toml import SourceInvalid
from functions.worker_process import _text_of, load
from storage.config.folders import Folders
from storage.config.settings import Settings
from tests.functions.engine.engine_scenes import HEAD

MINE = HEAD + '@function(on=request(), writes="server_facts")\ndef mine(now): return 1 / 0\n'


@pytest.fixture
def folders(tmp_path: Path) -> Iterator[Folders]:
    path, modules = list(sys.path), set(sys.modules)
    yield Folders.at(tmp_path).create()
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        del sys.modules[name]


def source_at(folders: Folders, text: str) -> CodeSource:
    return CodeSource(path=str(folders.data / "mine.py"), text=text.encode())


def test_the_text_is_loaded_and_not_what_the_file_has_meanwhile(folders: Folders) -> None:
    source = source_at(folders, MINE)
    Path(str(source.path)).write_text("raise SystemError")
    [mine] = load(source, folders, Settings())
    assert (mine.name, mine.code_hash) == ("mine", source.code_hash)


def test_a_traceback_shows_the_lines_of_the_text(folders: Folders) -> None:
    [mine] = load(source_at(folders, MINE), folders, Settings())
    with pytest.raises(ZeroDivisionError) as raised:
        mine.call(None)
    assert "return 1 / 0" in "".join(traceback.format_tb(raised.value.__traceback__))


def test_modules_beside_the_file_can_be_imported(folders: Folders) -> None:
    (folders.data / "_names_beside.py").write_text("NAME = 'beside'\n")
    [mine] = load(source_at(folders, "import _names_beside\n" + MINE), folders, Settings())
    assert mine.call.__globals__["_names_beside"].NAME == "beside"


def test_a_file_without_a_function_is_refused(folders: Folders) -> None:
    with pytest.raises(ImportError, match="no function in it: put @function"):
        load(source_at(folders, HEAD), folders, Settings())


def test_a_source_file_is_a_function_of_its_name(folders: Folders) -> None:
    text = b'kind = "files"\nevery = "1s"\n'
    source = CodeSource(path=str(folders.data / "drop.toml"), text=text)
    assert [f.name for f in load(source, folders, Settings())] == ["drop"]


def test_a_module_of_ours_is_loaded_by_its_name(folders: Folders) -> None:
    source = CodeSource(module="functions.rollup")
    assert [f.name for f in load(source, folders, Settings())] == ["rollup"]


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (
            SourceInvalid("connection.folder is missing"),
            "SourceInvalid: connection.folder is missing",
        ),
        (KeyError("key"), f"KeyError: 'key' (line 1 of {Path(__file__).name})"),
    ],
)
def test_an_error_of_a_source_file_names_no_line_of_a_program(error: Exception, text: str) -> None:
    with pytest.raises(type(error)) as raised:
        exec(compile("raise error", __file__, "exec"), {"error": error})  # noqa: S102 - line 1
    assert _text_of(raised.value, __file__) == text
