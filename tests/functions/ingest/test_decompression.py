"""Decompression of bodies: what is accepted, what is damaged, and what is too large."""

import gzip
import zlib

import pyarrow as pa
import pytest

from functions.ingest.decompression import MAX_BODY_BYTES, decompress, largest_size
from functions.ingest.rejection import PushRejected

TEXT = b"m,host=a load1=1\n" * 1000


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (TEXT, ""), (TEXT, "identity"), (gzip.compress(TEXT, mtime=0), "gzip"),
        (gzip.compress(TEXT[:50]) + gzip.compress(TEXT[50:]), "gzip"),  # two members
        (pa.compress(TEXT, codec="snappy", asbytes=True), "snappy"),
    ],
    ids=["none", "identity", "gzip", "gzip of two members", "snappy"],
)  # fmt: skip
def test_a_body_is_returned_without_its_compression(body: bytes, encoding: str) -> None:
    assert decompress(body, encoding) == TEXT


@pytest.mark.parametrize(
    ("body", "encoding", "status", "says"),
    [
        (b"no gzip", "gzip", 400, "is not gzip"),
        (gzip.compress(TEXT, mtime=0)[:-9], "gzip", 400, "truncated"),
        (b"not snappy", "snappy", 400, "not a snappy block"),
        (b"", "snappy", 400, "not a snappy block"),
        (b"\xff\xff\xff\xff\xff", "snappy", 400, "not a snappy block"),
        (b"\xff\xff\xff\xff\x7f", "snappy", 413, "larger than 32 MiB"),
        (b"x" * (MAX_BODY_BYTES + 1), "", 413, "larger than 32 MiB"),
    ],
)
def test_a_body_that_cannot_be_accepted_has_a_status_and_a_remedy(
    body: bytes, encoding: str, status: int, says: str
) -> None:
    with pytest.raises(PushRejected, match=says) as error:
        decompress(body, encoding)
    assert error.value.status == status
    assert error.value.remedy


def test_a_bomb_is_stopped_while_it_is_unpacked() -> None:
    packer = zlib.compressobj(wbits=31)
    bomb = packer.compress(b"\0" * (MAX_BODY_BYTES + 1)) + packer.flush()
    assert len(bomb) < 50_000
    for body in (bomb, gzip.compress(b"\0" * (MAX_BODY_BYTES // 2)) * 3):
        with pytest.raises(PushRejected, match="larger than 32 MiB") as refused:
            decompress(body, "gzip")
        assert refused.value.status == 413


def test_many_members_of_gzip_are_refused_before_they_are_unpacked() -> None:
    member = gzip.compress(b"", mtime=0)
    assert decompress(member * 1000, "gzip") == b""
    with pytest.raises(PushRejected, match="more than 1000 members") as refused:
        decompress(member * 200_000, "gzip")
    assert refused.value.status == 413


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (TEXT, ""), (gzip.compress(TEXT, mtime=0), "gzip"),
        (gzip.compress(b"\0" * 20_000_000), "gzip"),
        (pa.compress(TEXT, codec="snappy", asbytes=True), "snappy"),
    ],
    ids=["as it is", "gzip", "gzip of zeros", "snappy"],
)  # fmt: skip
def test_the_largest_size_is_known_before_a_body_is_unpacked(body: bytes, encoding: str) -> None:
    assert len(decompress(body, encoding)) <= largest_size(body, encoding) <= 2 * MAX_BODY_BYTES
