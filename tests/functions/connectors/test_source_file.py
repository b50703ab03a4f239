"""Source files: what is refused, templates whose every key counts, and files followed live."""

import importlib
import re
import threading
import tomllib
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from functions import connectors
from functions.connectors.secrets import secret
from functions.connectors.source_file import SourceFile, connection_type, read_source, source_of
from functions.engine.executors.subprocess_executor import WorkerFactory
from functions.engine.listeners import CommitListener
from functions.engine.user_code import SOURCES, UserCode
from functions.normalize.strict_toml import SourceInvalid
from storage.config.folders import Folders
from storage.config.settings import Settings
from tests.functions.engine.engine_scenes import Watched, in_background

TEMPLATES = Path(connectors.__file__).parent / "templates"
KINDS = sorted(path.stem for path in TEMPLATES.glob("*.toml"))
KEY = re.compile(r"^(?:# )?(\w+) = ", re.MULTILINE)
FILES = 'kind = "files"\nevery = "1s"\n[connection]\nsettle = "1ms"\n'


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return Folders.at(tmp_path).create()


@pytest.mark.parametrize("kind", KINDS)
def test_a_template_is_a_source_as_it_is_and_names_every_key(kind: str, folders: Folders) -> None:
    text = (TEMPLATES / f"{kind}.toml").read_text()
    source = read_source("mine", text.encode(), folders)
    assert source.file.kind == kind
    head, connection = text.split("[mapping")[0].split("[connection]")
    assert set(KEY.findall(head)) == set(SourceFile.__struct_fields__) - {"connection", "mapping"}
    assert set(KEY.findall(connection)) == set(type(source.connection).__struct_encode_fields__)


@pytest.mark.parametrize("kind", KINDS)
def test_every_line_of_a_template_may_be_turned_on(kind: str, folders: Folders) -> None:
    """Each key that is commented out is known, and takes the value that stands there."""
    text = (TEMPLATES / f"{kind}.toml").read_text()
    shown = tomllib.loads(text)
    adapter = importlib.import_module(f"functions.connectors.{kind}")
    for section, lines in _optional(text):
        raw = tomllib.loads(lines)
        struct = connection_type(adapter) if section == "connection" else SourceFile
        assert set(raw) <= set(struct.__struct_encode_fields__)
    mapping = tomllib.loads(re.sub(r"(?m)^# ", "", text[text.index("[mapping]") :]))
    assert source_of("mine", shown | mapping, folders).mapping.entries


def _optional(text: str) -> list[tuple[str, str]]:
    found, section = [], ""
    for line in text[: text.index("[mapping]")].splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif re.match(r"# \w+ = ", line):
            found.append((section, line.removeprefix("# ")))
    return found


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("Shop", FILES, "'Shop' is no name for a source: call the file by small letters"),
        ("shop", "kind = ", "it is no TOML"),
        ("shop", 'kind = "oracle"', "kind is 'oracle'"),
        ("shop", "enabled = true", "kind is missing: write it"),
        (
            "shop",
            FILES + 'foldr = "x"',
            "connection.foldr is not a key (expected one of delimiter, folder",
        ),
        ("shop", 'kind = "files"\nevery = "5 s"', "every is '5 s' is no period: write a number"),
        ("shop", 'kind = "files"\n[connection]\ndelimiter = ";;"', "';;': write one character"),
    ],
)
def test_a_mistake_is_told_with_key_value_and_remedy(
    folders: Folders, name: str, text: str, says: str
) -> None:
    with pytest.raises(SourceInvalid, match=re.escape(says)):
        read_source(name, text.encode(), folders)


def test_a_secret_comes_from_the_environment_or_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_PASSWORD", "s3cret")
    file = tmp_path / "password"
    file.write_text("of a file\n")
    assert secret("password", "SHOP_PASSWORD", None) == "s3cret"
    assert secret("password", None, str(file)) == "of a file"
    assert secret("password", None, None) is None
    for env, path, says in (
        ("NOT_SET", None, "names the variable 'NOT_SET', which is not set: set it"),
        (None, str(tmp_path / "none"), "which cannot be read"),
        ("SHOP_PASSWORD", str(file), "has both password_env and password_file"),
    ):
        with pytest.raises(SourceInvalid, match=says):
            secret("password", env, path)


def test_a_file_is_followed_live_and_what_becomes_of_it_is_written_down(folders: Folders) -> None:
    runner, stop = Watched(folders), threading.Event()
    users = UserCode(
        runner, WorkerFactory(folders, Settings()), CommitListener(folders, stop), SOURCES
    )
    folder = folders.data / "sources"
    folder.mkdir()
    (folder / "quiet.toml").write_text(FILES)
    other = FILES.replace("[connection]", '[connection]\nfolder = "elsewhere"')
    (folder / "other.toml").write_text(other)  # whose runs wake who waits
    (folder / "off.toml").write_text("enabled = false\n" + FILES)
    drop = folders.data / "drop"
    with in_background(users.keep_watch, stop):
        runner.until_run("quiet", "nothing")
        (drop / "a.csv").write_text("ts,host,load\n2026-05-06T12:00:00Z,a,1\n")
        assert runner.until_run("quiet", "ok")["rows_out"] == 2
        (folder / "quiet.toml").write_text(FILES + "foldr = 1\n")
        assert "connection.foldr is not a key" in runner.until_run("quiet", "failed")["error"]
        runner.until_run("quiet", "nothing", len(runner.of("quiet", "nothing")) + 1)
        (folder / "quiet.toml").unlink()
        runner.until(lambda: list(users.source_workers) == ["other"], "it is gone")
    assert not runner.of("off")
    segments = [pq.read_table(path) for path in folders.inbox.glob("*-sources-*.parquet")]
    told = {(row["source"], row["event"]) for each in segments for row in each.to_pylist()}
    assert len(segments) == len(told) == 5
    assert told == {
        ("quiet", "live"), ("quiet", "refused"), ("quiet", "off"), ("other", "live"), ("off", "off")
    }  # fmt: skip
