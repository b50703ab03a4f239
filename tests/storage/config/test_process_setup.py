import argparse
import os
from pathlib import Path

import pytest

from storage.config.process_setup import add_data_option, configured
from storage.config.settings import SettingsError


def parse(*arguments: str) -> Path:
    parser = argparse.ArgumentParser()
    add_data_option(parser)
    data: Path = parser.parse_args(arguments).data
    return data


def test_the_option_takes_precedence_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOURSIGHT_DATA", "from-environment")
    assert parse() == Path("from-environment")
    assert parse("--data", "given") == Path("given")


def test_an_invalid_setting_ends_the_process_with_one_sentence_and_ex_config(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with pytest.raises(SystemExit) as exit_, configured():
        raise SettingsError("web.port is 'x', expected a number")
    assert exit_.value.code == os.EX_CONFIG == 78
    assert [(r.levelname, r.message) for r in caplog.records] == [
        ("CRITICAL", "web.port is 'x', expected a number")
    ]


def test_another_error_is_not_turned_into_an_exit() -> None:
    with pytest.raises(ZeroDivisionError), configured():
        raise ZeroDivisionError
