"""Size of a remote write request, counted in its bytes before any message of it is built."""

from collections.abc import Iterator

from functions.ingest.rejection import PushRejected

__all__ = ["MAX_ELEMENTS", "count_elements", "series_bytes"]

# Series, labels and samples of one request. Prometheus sends 2,000 samples of about 10 labels.
MAX_ELEMENTS = 1_000_000
ELEMENT_BYTES = 100  # of memory, measured
SMALL_BYTES = 256 << 10  # an element has two bytes at least: fewer are not counted one by one
_VARINT, _FIXED_64, _MESSAGE, _FIXED_32 = 0, 1, 2, 5  # wire types


def series_bytes(body: bytes) -> int:
    """About the most memory that reading a request takes, in bytes. Raises PushRejected (413)."""
    return len(body) + ELEMENT_BYTES * count_elements(body)


def count_elements(body: bytes) -> int:
    """The series, labels and samples of a `prometheus.WriteRequest`, or more where it is small.

    A message that is not valid is counted up to the mistake: the decoder names it. Raises
    PushRejected (413) beyond MAX_ELEMENTS.
    """
    if len(body) <= SMALL_BYTES:
        return len(body) // 2
    count = 0
    for start, end in _messages(body, 0, len(body)):
        count += 1
        for _ in _messages(body, start, end):
            count += 1
            if count > MAX_ELEMENTS:
                break
        if count > MAX_ELEMENTS:
            raise PushRejected(
                413, f"the request has more than {MAX_ELEMENTS:,} series, labels and samples",
                "send fewer samples in one request (max_samples_per_send)",
            )  # fmt: skip
    return count


def _messages(body: bytes, at: int, end: int) -> Iterator[tuple[int, int]]:
    """Start and end of each embedded message between two places, without those inside it."""
    while at < end:
        tag, at = _varint(body, at, end)
        kind = tag & 7
        if kind == _MESSAGE:
            length, at = _varint(body, at, end)
            yield at, min(at + length, end)
            at += length
        elif kind == _VARINT:
            _, at = _varint(body, at, end)
        elif kind == _FIXED_64:
            at += 8
        elif kind == _FIXED_32:
            at += 4
        else:  # a group, which the protocol does not have, or no message at all
            return


def _varint(body: bytes, at: int, end: int) -> tuple[int, int]:
    """The number at a place, and the place after it; that of the end where it is cut off."""
    byte = body[at] if at < end else 0
    if byte < 0x80:
        return byte, at + 1
    number, shift = 0, 0
    while at < end and shift < 70:
        byte = body[at]
        number |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return number, at
    return number, end
