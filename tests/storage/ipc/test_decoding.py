import math
import tracemalloc
from pathlib import Path

import msgspec
import pytest

from storage.config.api_keys import ApiKeyError, ApiKeys
from storage.config.folders import Folders
from storage.config.settings import SettingsError, read_settings
from storage.inbox.segment import Provenance, SegmentRefused
from storage.ipc.decoding import InvalidJson, decode_json, decoded_bytes
from storage.ipc.push_protocol import Push
from tests.hostile import HARMLESS, MALFORMED, TOO_LARGE


class Envelope(msgspec.Struct):
    body: object


@pytest.mark.parametrize("text", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_text_is_one_error_with_a_reason(text: bytes) -> None:
    with pytest.raises(InvalidJson, match=r"\w"):
        decode_json(text)
    with pytest.raises(InvalidJson, match=r"\w"):
        decode_json(b'{"body": ' + text + b"}", Envelope)


@pytest.mark.parametrize("text", [b"", b" \n", "a\udcff", '"\udcff"'])
def test_an_empty_text_and_one_with_a_surrogate_are_the_same_error(text: bytes | str) -> None:
    with pytest.raises(InvalidJson, match=r"\w"):
        decode_json(text)


@pytest.mark.parametrize("text", HARMLESS.values(), ids=HARMLESS)
def test_valid_json_is_decoded_as_msgspec_does(text: bytes) -> None:
    assert decode_json(text) == decode_json(text.decode()) == msgspec.json.decode(text)


@pytest.mark.parametrize("number", [-(1 << 63) - 1, 1 << 64])
def test_integers_beyond_64_bits_are_refused_where_they_have_to_cross(number: int) -> None:
    text = b'{"a": [%d]}' % number
    assert decode_json(text) == {"a": [number]}
    with pytest.raises(InvalidJson, match="more than 64 bits"):
        decode_json(text, narrow=True)
    with pytest.raises(InvalidJson, match="more than 64 bits"):
        decode_json(b"%d" % number, narrow=True)


@pytest.mark.parametrize("number", [-(1 << 63), (1 << 64) - 1])
def test_integers_of_64_bits_cross(number: int) -> None:
    assert decode_json(b"[%d]" % number, narrow=True) == [number]


def test_a_long_flat_text_is_decoded() -> None:
    assert len(decode_json(TOO_LARGE)) == (8 << 20) + 1


@pytest.mark.parametrize("text", MALFORMED.values(), ids=MALFORMED)
def test_damaged_files_and_messages_of_ours_are_refused_with_a_message(
    tmp_path: Path, text: bytes
) -> None:
    folders = Folders.at(tmp_path)
    folders.keys.write_bytes(text)
    with pytest.raises(ApiKeyError, match="is damaged"):
        ApiKeys(folders).known()
    with pytest.raises(InvalidJson):
        Push.unpacked(text + b"\nbody")
    with pytest.raises(SegmentRefused, match="cannot be read"):
        Provenance.decode(text)


def test_settings_nested_too_deeply_are_refused_with_a_message(tmp_path: Path) -> None:
    Folders.at(tmp_path).settings.write_bytes(b"a = " + b"[" * 25_000)
    with pytest.raises(SettingsError, match=r"nested|recursion"):
        read_settings(tmp_path)


def test_nan_and_infinity_are_floats_where_they_are_expected() -> None:
    text = b'[{"a": NaN, "b": -Infinity, "c": 2, "d": "NaN"}]'
    [record] = decode_json(text, nan=True)
    assert math.isnan(record["a"])
    assert (record["b"], record["c"], record["d"]) == (-math.inf, 2, "NaN")
    with pytest.raises(InvalidJson):
        decode_json(text)


@pytest.mark.parametrize(
    "text", [text for text in MALFORMED.values() if text not in (b"[NaN]", b"[1e999]")]
)
def test_a_nan_excuses_nothing_else(text: bytes) -> None:
    with pytest.raises(InvalidJson, match=r"\w"):
        decode_json(b"[NaN, " + text + b"]", nan=True)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_is_named(encoding: str) -> None:
    with pytest.raises(InvalidJson, match="it begins with a byte order mark: send UTF-8 without"):
        decode_json("[1]".encode(encoding), nan=True)


@pytest.mark.parametrize(
    "text",
    [
        b"[" + b"[]," * 50_000 + b"[]]", b"[" + b"{}," * 50_000 + b"{}]",
        b"[" + b"1.5," * 50_000 + b"1]",
        b"[{" + b",".join(b'"%d":1' % n for n in range(50_000)) + b"}]",
    ],
    ids=["lists", "objects", "numbers", "names"],
)  # fmt: skip
def test_the_memory_of_a_value_is_known_before_it_is_decoded(text: bytes) -> None:
    tracemalloc.start()
    value = decode_json(text)
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert value
    assert taken < decoded_bytes(text)
