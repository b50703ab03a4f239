"""Commands on API keys."""

from pathlib import Path

from click.testing import CliRunner

from scripts.cli import cli
from storage.config.api_keys import ApiKeys, create_key
from storage.config.folders import Folders
from storage.config.key_usage import KeyUsage, Tally, add_key_usage
from tests.conftest import NOW


def test_the_list_has_the_last_use_of_each_key_and_the_refusals(tmp_path: Path) -> None:
    folders = Folders.at(tmp_path)
    for name in ("telegraf", "idle"):
        create_key(folders, name, ["feed"], NOW)
    used = {ApiKeys(folders).known()[0].id: Tally(12, NOW, "10.0.0.5")}
    add_key_usage(folders, KeyUsage(used, {"unknown_key": Tally(1, NOW, "10.0.0.9")}))
    done = CliRunner().invoke(cli, ["keys", "list", "--data", str(tmp_path)])
    telegraf, idle = done.stdout.splitlines()
    assert telegraf.endswith("last used 2026-05-06 12:00 from 10.0.0.5, 12 requests")
    assert idle.endswith("not used yet")
    assert done.stderr == (
        "refused, with an unknown or revoked key: last 2026-05-06 12:00 from 10.0.0.9, 1 request\n"
    )


def test_keys_are_listed_also_when_their_use_cannot_be_read(tmp_path: Path) -> None:
    create_key(Folders.at(tmp_path), "telegraf", ["feed"], NOW)
    Folders.at(tmp_path).key_usage.mkdir()
    done = CliRunner().invoke(cli, ["keys", "list", "--data", str(tmp_path)])
    assert done.stdout.startswith("telegraf ")
    assert "the use of the keys cannot be read: [Errno 21] Is a directory" in done.stderr


def test_revoking_the_last_key_says_that_everything_is_refused_now(tmp_path: Path) -> None:
    for name in ("one", "two"):
        create_key(Folders.at(tmp_path), name, ["feed"], NOW)
    arguments = ["keys", "revoke", "--data", str(tmp_path)]
    assert CliRunner().invoke(cli, [*arguments, "one"]).stderr == ""
    last = CliRunner().invoke(cli, [*arguments, "two"])
    assert "every request is refused until you create one" in last.stderr
