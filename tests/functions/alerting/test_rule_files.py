from pathlib import Path

from functions.alerting.rule_files import news, read_rule_files
from storage.config.folders import Folders

RULE = '[[rule]]\nname = "x"\nclose_after = "{}"\n'


def saved(folders: Folders, text: str) -> None:
    folders.alerts.mkdir(exist_ok=True)
    (folders.alerts / "mine.toml").write_text(text)


def test_the_last_good_rule_goes_on_after_a_restart(tmp_path: Path) -> None:
    folders = Folders.at(tmp_path).create()
    saved(folders, RULE.format("1h"))
    read_rule_files(folders)
    saved(folders, RULE.format("1 hour"))
    for _ in range(2):
        read = read_rule_files(folders)
        assert [rule.close_after for rule in read.book.rules if rule.name == "x"] == ["1h"]
        assert len(read.refusals) == 1


def test_what_is_refused_is_news_once_and_again_when_it_changes(tmp_path: Path) -> None:
    folders = Folders.at(tmp_path).create()
    assert news(folders, read_rule_files(folders)) is None
    saved(folders, RULE.format("1 hour"))
    (sentence,) = news(folders, read_rule_files(folders)) or ()
    assert sentence.startswith("alerts/mine.toml: rule 'x': close_after: '1 hour' is not a valid")
    assert news(folders, read_rule_files(folders)) is None
    saved(folders, RULE.format("2h"))
    assert news(folders, read_rule_files(folders)) == ()


def test_a_file_that_others_can_write_is_refused(tmp_path: Path) -> None:
    folders = Folders.at(tmp_path).create()
    saved(folders, RULE.format("1h"))
    (folders.alerts / "mine.toml").chmod(0o666)
    read = read_rule_files(folders)
    assert "x" not in read.book.by_name
    assert "other users can write to" in str(read.refusals[0])


def test_a_look_at_the_files_keeps_nothing(tmp_path: Path) -> None:
    folders = Folders.at(tmp_path).create()
    saved(folders, RULE.format("1h"))
    read_rule_files(folders, save=False)
    assert not (folders.alerts / ".last-good").exists()
