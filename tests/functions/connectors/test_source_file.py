"""Source files: mistakes, templates with every key, and files that are followed live."""

import importlib
import re
import threading
import tomllib
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from functions import connectors
from functions.connectors.source_file import (
    SourceFile,
    connection_type,
    read_source,
    source_from_dict,
)
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
def test_a_template_is_a_valid_source_and_names_every_key(kind: str, folders: Folders) -> None:
    text = (TEMPLATES / f"{kind}.toml").read_text()
    source = read_source("mine", text.encode(), folders)
    assert source.file.kind == kind
    head, connection = text.split("[mapping")[0].split("[connection]")
    assert set(KEY.findall(head)) == set(SourceFile.__struct_fields__) - {"connection", "mapping"}
    assert set(KEY.findall(connection)) == set(type(source.connection).__struct_encode_fields__)


@pytest.mark.parametrize("kind", KINDS)
def test_every_commented_line_of_a_template_is_valid(kind: str, folders: Folders) -> None:
    """Each key that is commented out exists, and accepts the value in its line."""
    text = (TEMPLATES / f"{kind}.toml").read_text()
    shown = tomllib.loads(text)
    adapter = importlib.import_module(f"functions.connectors.{kind}")
    for section, lines in _optional(text):
        raw = tomllib.loads(lines)
        struct = connection_type(adapter) if section == "connection" else SourceFile
        assert set(raw) <= set(struct.__struct_encode_fields__)
    mapping = tomllib.loads(re.sub(r"(?m)^# ", "", text[text.index("[mapping]") :]))
    assert source_from_dict("mine", shown | mapping, folders).mapping.entries


def _optional(text: str) -> list[tuple[str, str]]:
    lines, section = [], ""
    for line in text[: text.index("[mapping]")].splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif re.match(r"# \w+ = ", line):
            lines.append((section, line.removeprefix("# ")))
    return lines


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("Shop", FILES, "'Shop' is not a valid source name (expected up to 50 lower-case letters"),
        ("shop", "kind = ", "the file is not valid TOML"),
        ("shop", 'kind = "oracle"', "kind is 'oracle'"),
        ("shop", "enabled = true", "kind is missing: write it"),
        (
            "shop",
            FILES + 'foldr = "x"',
            "foldr is not a key (expected one of delimiter, encoding, folder",
        ),
        ("shop", 'kind = "files"\nevery = "5 s"', "every: '5 s' is"),
        (
            "shop",
            'kind = "files"\n[connection]\ndelimiter = ";;"',
            "connection: delimiter is ';;' (expected one character)",
        ),
        (
            "shop",
            'kind = "files"\n[connection]\nencoding = "latin-99"',
            "connection: encoding is 'latin-99': write one such as 'utf-8'",
        ),
        (
            "shop",
            'kind = "files"\n[connection]\nheader_line = -1',
            "connection: header_line is -1 (expected a line from 1 on)",
        ),
        (
            "shop",
            'kind = "mongodb"\n[connection]\nuri = "mongodb://a"\ndatabase = "d"\n'
            'collection = "c"\n[mapping.columns]\npattern = "(?P<server>.)"',
            "mapping.columns is about the columns of files, and kind is 'mongodb'",
        ),
    ],
)
def test_a_mistake_is_rejected_with_key_value_and_remedy(
    folders: Folders, name: str, text: str, message: str
) -> None:
    with pytest.raises(SourceInvalid, match=re.escape(message)):
        read_source(name, text.encode(), folders)


def test_a_file_is_followed_live_and_its_events_are_recorded(folders: Folders) -> None:
    runner, stop = Watched(folders), threading.Event()
    users = UserCode(
        runner, WorkerFactory(folders, Settings()), CommitListener(folders, stop), SOURCES
    )
    folder = folders.data / "sources"
    folder.mkdir()
    (folder / "quiet.toml").write_text(FILES)
    other = FILES.replace("[connection]", '[connection]\nfolder = "elsewhere"')
    (folder / "other.toml").write_text(other)  # whose runs wake the waits below
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
    events = {(row["source"], row["event"]) for each in segments for row in each.to_pylist()}
    assert len(segments) == len(events) == 5
    assert events == {
        ("quiet", "live"), ("quiet", "refused"), ("quiet", "off"), ("other", "live"), ("off", "off")
    }  # fmt: skip


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ('site = "fra"\n', False),
        ('[mapping.time]\nfield = "when"\n', False),
        ('every = "10s"\n', True),
        ("# a comment\n", True),
    ],
)
def test_a_reader_is_another_one_when_the_mapping_or_site_changes(
    folders: Folders, change: str, same: bool
) -> None:
    before, after = (
        read_source("mine", f'kind = "files"\n{text}'.encode(), folders).options.reader
        for text in ("", change)
    )
    assert (before == after) is same
