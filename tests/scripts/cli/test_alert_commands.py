from pathlib import Path
from typing import Any

import pytest

from scripts.cli.alert_commands import alerts
from tests.scripts.cli.command_calls import CommandCall

D = Path("d")


@pytest.mark.parametrize(
    ("arguments", "mark"),
    [
        (["ack", "3fd0"], {"kind": "acknowledged", "episode": "3fd0"}),
        (["acting", "3fd0", "--note", "restarting", "--by", "ann"],
         {"kind": "acting", "episode": "3fd0", "note": "restarting", "made_by": "ann"}),
        (["close", "3fd0"], {"kind": "closed", "episode": "3fd0"}),
        (["silence", "db*", "--for", "2h", "--metric", "load_average"],
         {"kind": "silence", "pattern": "db*", "lasts": "2h", "metric": "load_average"}),
        (["silence", "db*", "--end"], {"kind": "unsilence", "pattern": "db*"}),
        (["mark", "deploy", "web-*", "--note", "v2"],
         {"kind": "deploy", "pattern": "web-*", "note": "v2"}),
    ],
)  # fmt: skip
def test_what_people_say_is_a_mark_of_what_was_given(
    arguments: list[str], mark: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    call = CommandCall(monkeypatch, "scripts.cli.alert_list.add_mark", True)
    assert call.run(alerts, arguments).exit_code == 0
    assert call.arguments == (D, mark)


@pytest.mark.parametrize("works", [True, False])
def test_a_mark_that_is_refused_and_a_rule_that_is_refused_are_exit_code_1(
    works: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    marks = CommandCall(monkeypatch, "scripts.cli.alert_list.add_mark", works)
    rules = CommandCall(monkeypatch, "scripts.cli.alert_list.show_rules", works)
    assert marks.run(alerts, ["ack", "3fd0"]).exit_code == (not works)
    assert rules.run(alerts, ["rules"]).exit_code == (not works)


def test_without_a_command_the_open_alerts_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    call = CommandCall(monkeypatch, "scripts.cli.alert_list.list_alerts")
    for arguments, history in (([], False), (["list"], False), (["list", "--history"], True)):
        call.run(alerts, arguments)
        assert call.arguments[1] is history


def test_a_kind_of_mark_that_is_not_known_is_refused_with_those_that_are() -> None:
    result = CommandCall.run(alerts, ["mark", "reboot", "db*"])
    assert result.exit_code == 2
    assert "'deploy', 'remediation'" in result.output
