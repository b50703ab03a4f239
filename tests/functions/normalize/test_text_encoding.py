"""Files of any encoding as UTF-8."""

from pathlib import Path

import pytest

from functions.normalize.text_encoding import EncodingUnknown, as_utf8, check_encoding

TEXT = "München;12,5\n" * 3


@pytest.mark.parametrize(
    ("written", "stated"),
    [
        ("utf-8", ""), ("utf-8-sig", ""), ("utf-16", ""), ("utf-16", "utf-16"), ("utf-8", "utf8"),
        ("utf-16-le", "utf-16-le"), ("latin-1", "latin-1"), ("cp1252", "cp1252"),
    ],
)  # fmt: skip
def test_a_text_is_read_as_utf_8_without_a_mark(tmp_path: Path, written: str, stated: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(TEXT.encode(written))
    with path.open("rb") as raw, as_utf8(raw, stated) as file:
        assert file.read().decode() == TEXT


def test_a_character_may_lie_across_two_blocks(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(("x" + "ü" * 3_000_000).encode("utf-16"))
    with path.open("rb") as raw, as_utf8(raw) as file:
        assert file.read() == ("x" + "ü" * 3_000_000).encode()


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_without_a_mark_is_named_with_the_setting(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(TEXT.encode(encoding))
    with (
        path.open("rb") as raw,
        pytest.raises(EncodingUnknown, match=f"write encoding = '{encoding}'"),
    ):
        as_utf8(raw)


@pytest.mark.parametrize("name", ["latin-99", "base64", "utf-16-xx"])
def test_an_unknown_encoding_is_refused_with_examples(name: str) -> None:
    with pytest.raises(ValueError, match=f"encoding is '{name}': write one such as 'utf-8'"):
        check_encoding(name)
    check_encoding("cp1252")
