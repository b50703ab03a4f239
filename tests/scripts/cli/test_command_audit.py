"""Commands that change who may do what leave an entry of the audit in the inbox."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from scripts.cli import cli
from storage.config.folders import Folders


def run(data: Path, *arguments: str) -> None:
    done = CliRunner().invoke(cli, [*arguments, "--data", str(data)], input="four words of mine\n")
    assert done.exit_code == 0, done.output


def test_keys_and_users_that_are_made_and_removed_are_noted(tmp_path: Path) -> None:
    Folders.at(tmp_path).create()
    run(tmp_path, "keys", "create", "--scope", "feed", "--name", "telegraf")
    run(tmp_path, "keys", "revoke", "telegraf")
    run(tmp_path, "users", "add", "ann", "--role", "operator")
    run(tmp_path, "users", "passwd", "ann")
    run(tmp_path, "users", "remove", "ann")
    rows = [
        row
        for path in Folders.at(tmp_path).inbox.glob("*.parquet")
        for row in pq.read_table(path).to_pylist()
    ]
    rows.sort(key=lambda row: row["ts"])
    assert [(row["action"], row["target"], row["detail"]) for row in rows] == [
        ("keys create", "telegraf", "feed"), ("keys revoke", "telegraf", "feed"),
        ("users add", "ann", "operator"), ("users passwd", "ann", None),
        ("users remove", "ann", "operator"),
    ]  # fmt: skip
    assert {row["shown_by"] for row in rows} == {"command"}
    assert "four words" not in str(rows)


@pytest.mark.parametrize("settings", ["", "[web]\nport = 0"])
def test_a_command_is_carried_out_where_nothing_can_be_noted(tmp_path: Path, settings: str) -> None:
    if settings:
        Folders.at(tmp_path).create().settings.write_text(settings)
    run(tmp_path, "keys", "create", "--scope", "feed", "--name", "telegraf")
    assert not list(tmp_path.rglob("*.parquet"))
