"""Bounded answers: what is unpacked, up to which size, and what is refused."""

import gzip
import zlib

import pytest

from functions.connectors.bounded_answer import UnpackError, unpacker

TEXT = b"0123456789" * 1000


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        ("", TEXT), ("identity", TEXT), ("gzip", gzip.compress(TEXT, mtime=0)),
        (" X-Gzip", gzip.compress(TEXT, mtime=0)), ("deflate", zlib.compress(TEXT)),
    ],
)  # fmt: skip
def test_the_parts_of_a_response_are_unpacked_one_after_the_other(
    encoding: str, packed: bytes
) -> None:
    unpack = unpacker(encoding)
    parts = [packed[at : at + 7] for at in range(0, len(packed), 7)]
    assert b"".join(unpack(part, 1 << 20) for part in parts) == TEXT


@pytest.mark.parametrize(
    ("encoding", "packed"), [("", TEXT), ("gzip", gzip.compress(TEXT, mtime=0))]
)
def test_no_more_is_unpacked_than_is_wanted(encoding: str, packed: bytes) -> None:
    unpack = unpacker(encoding)
    assert unpack(packed, 100) == TEXT[:100]
    assert unpack(b"", 0) == b""


@pytest.mark.parametrize("encoding", ["gzip, gzip", "br", "zstd", "x" * 200])
def test_another_encoding_than_was_asked_for_is_refused(encoding: str) -> None:
    with pytest.raises(UnpackError, match="was not asked for"):
        unpacker(encoding)


def test_what_is_not_compressed_as_it_says_is_refused() -> None:
    with pytest.raises(UnpackError, match="incorrect header"):
        unpacker("gzip")(TEXT, 100)
