"""Seal of a model file: the hash of all that comes before it, as the last entry of its metadata.

A model of ONNX is one protobuf message, to which an entry may be appended: other programs read it.
The self-test alone accepts most models with one flipped bit.
"""

import hashlib

__all__ = ["is_intact", "sealed"]

KEY = b"hoursight_sha256"
DIGITS = 64
# Entry of ModelProto.metadata_props: its key, and the beginning of its value.
ENTRY = b"\x0a" + bytes([len(KEY)]) + KEY + b"\x12" + bytes([DIGITS])
MARK = bytes([14 << 3 | 2, len(ENTRY) + DIGITS]) + ENTRY


def sealed(model: bytes) -> bytes:
    """A model file's content with a seal, which replaces one that it has."""
    content = _unsealed(model) if _has_seal(model) else model
    return content + MARK + _digest(content)


def is_intact(model: bytes) -> bool:
    """Return False for a model that differs from its seal; one without a seal is intact."""
    return not _has_seal(model) or model[-DIGITS:] == _digest(_unsealed(model))


def _has_seal(model: bytes) -> bool:
    return model[-DIGITS - len(MARK) : -DIGITS] == MARK


def _unsealed(model: bytes) -> bytes:
    return model[: -DIGITS - len(MARK)]


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()
