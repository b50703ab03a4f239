"""Secrets: from the environment or a file, and the messages when there is none."""

from pathlib import Path

import pytest

from functions.connectors.secrets import secret
from functions.normalize.strict_toml import SourceInvalid


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "password"
    file.write_text("of a file\n")
    return file


def test_a_secret_comes_from_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_PASSWORD", "s3cret ")
    assert secret("password", "SHOP_PASSWORD", None) == "s3cret "


def test_a_secret_comes_from_a_file_without_its_line_end(file: Path) -> None:
    assert secret("password", None, str(file)) == "of a file"
    file.write_bytes(b" inner  spaces \r\n")
    assert secret("password", None, str(file)) == " inner  spaces "


def test_without_a_variable_and_a_file_there_is_no_secret() -> None:
    assert secret("password", None, None) is None


@pytest.mark.parametrize("value", [None, ""])
def test_a_variable_that_is_not_set_is_named(
    monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    monkeypatch.delenv("NOT_SET", raising=False)
    if value is not None:
        monkeypatch.setenv("NOT_SET", value)
    with pytest.raises(SourceInvalid, match="names the variable 'NOT_SET', which is not set: set"):
        secret("password", "NOT_SET", None)


def test_a_file_that_is_missing_empty_or_not_text_is_named(file: Path) -> None:
    with pytest.raises(SourceInvalid, match=r"token_file is '.*none', which cannot be read"):
        secret("token", None, str(file.with_name("none")))
    file.write_text("\n")
    with pytest.raises(SourceInvalid, match="which is empty: write the secret into it"):
        secret("token", None, str(file))
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(SourceInvalid, match="which cannot be read"):
        secret("token", None, str(file))


def test_a_variable_and_a_file_together_are_rejected(file: Path) -> None:
    with pytest.raises(SourceInvalid, match="has both password_env and password_file: leave one"):
        secret("password", "SHOP_PASSWORD", str(file))
