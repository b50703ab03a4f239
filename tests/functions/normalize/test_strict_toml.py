"""Strict decoding: an error names the key, the value and what is expected."""

from typing import Any, Literal

import msgspec
import pytest

from functions.normalize.strict_toml import SourceInvalid, decode_strict


class Inner(msgspec.Struct, forbid_unknown_fields=True):
    path: str
    take: Literal["max", "min"] = "max"


class Outer(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    port: int = 80
    fields: dict[str, Inner | tuple[Inner, ...]] = {}

    def __post_init__(self) -> None:
        if self.port < 1:
            raise ValueError(f"port is {self.port}: write 1 to 65535")


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        ({"nam": "x"}, "source.nam is not a key (expected one of fields, name, port)"),
        ({}, "source.name is missing: write it"),
        ({"name": "x", "port": "80"}, "source.port is '80': expected `int`, got `str`"),
        ({"name": "x", "port": 0}, "port is 0: write 1 to 65535"),
        ({"name": 7}, "source.name is 7: expected `str`"),
    ],
)
def test_an_error_names_key_value_and_expectation(raw: dict[str, Any], says: str) -> None:
    with pytest.raises(SourceInvalid) as error:
        decode_strict(raw, Outer, "source")
    assert says in str(error.value)


def test_an_error_below_a_table_names_the_whole_path() -> None:
    raw = {"path": "a", "take": "median"}
    with pytest.raises(SourceInvalid, match=r"mapping\.cpu\.take is 'median': invalid enum value"):
        decode_strict(raw, Inner, "mapping.cpu")


def test_an_unknown_key_below_a_table_names_the_keys_of_that_struct() -> None:
    with pytest.raises(SourceInvalid, match=r"expected one of path, take"):
        decode_strict({"path": "a", "tak": "max"}, Inner, "mapping.cpu")


def test_what_is_valid_is_decoded() -> None:
    outer = decode_strict({"name": "x", "fields": {"a": {"path": "p"}}}, Outer)
    assert outer == Outer("x", 80, {"a": Inner("p")})
