"""Messages between a process and its worker."""

from dataclasses import fields
from pathlib import Path

import pyarrow as pa
import pytest

from functions.engine.executors.function_call import CallRequest, CallResult, Cost
from functions.engine.executors.worker_protocol import (
    CallMessage,
    CallReply,
    CodeSource,
    InvalidMessage,
    LoadReply,
    Message,
    MessageReader,
    Raised,
    packed,
)
from functions.engine.function import Batch, Declared
from functions.engine.triggers import cron, every, files, request, rows
from storage.errors import HoursightError, LakeMissing, LakeUnreadable
from tests.conftest import NOW

ROWS = pa.table({"server": ["a", None], "ts": pa.array([NOW, NOW], pa.timestamp("us", "UTC"))})
BATCH = Batch(
    {"metrics": ROWS, "truth": ROWS.slice(0, 0)},
    "c",
    "key",
    "hash",
    True,
    3,
    ("why",),
    2,
    {"a": [1, None]},
)


def sent(message: Message) -> Message | None:
    return MessageReader().add(packed(message))


def test_every_field_of_a_batch_crosses_to_another_process() -> None:
    empty = Batch()
    assert [f.name for f in fields(Batch) if getattr(BATCH, f.name) == getattr(empty, f.name)] == []
    reply = CallReply(7, Cost(0.5, 90.0), CallResult(BATCH, input_snapshot=4, rows_in=9))
    assert sent(reply) == reply


def test_a_call_crosses_with_its_paths_and_body() -> None:
    call = CallRequest(NOW, "cursor", (Path("/drop/a.csv"),), {"n": [1, None]})
    message = CallMessage(1, "mine", call, "run")
    assert sent(message) == message


def test_declarations_cross_with_all_kinds_of_triggers() -> None:
    triggers = (every("5s"), cron("0 2 * * *"), rows("metrics", "1m"), files("*.csv"), request("x"))
    reply = LoadReply((Declared("f", triggers, ("metrics",), "", ("now",), "hash"),))
    assert sent(reply) == reply


def test_a_message_that_arrives_byte_by_byte_is_complete_with_the_last_one() -> None:
    message, reader = LoadReply(error="no"), MessageReader()
    *head, last = (bytes([byte]) for byte in packed(message))
    assert [reader.add(byte) for byte in head] == [None] * len(head)
    assert reader.add(last) == message


@pytest.mark.parametrize(
    ("sent_bytes", "says"),
    [
        (b"garbage" * 10, "something else than a message came"),
        (packed(LoadReply()) + b"!", "1 bytes follow the message"),
        (packed(LoadReply())[:4] + (1 << 40).to_bytes(8, "little"), "the message has 1048576 MB"),
        (packed(LoadReply())[:4] + (2).to_bytes(8, "little") + b"\xc1\xc1", "malformed"),
        (
            packed(CallReply(1, Cost(), CallResult(BATCH))).replace(4 * b"\xff", 4 * b"\x7f"),
            "Expected",
        ),
    ],
)
def test_other_bytes_are_refused(sent_bytes: bytes, says: str) -> None:
    with pytest.raises(InvalidMessage, match=says):
        MessageReader().add(sent_bytes)


def test_a_value_that_cannot_travel_is_refused_by_the_sender() -> None:
    with pytest.raises(TypeError, match="a object cannot be sent to another process"):
        packed(CallMessage(1, "mine", CallRequest(NOW, body=object())))


def test_an_error_of_ours_is_known_by_its_class_on_the_other_side() -> None:
    raised = Raised.of(LakeUnreadable("away", "repair it"))
    assert raised is not None
    assert (raised.message, raised.remedy, raised.retryable) == ("away", "repair it", True)
    assert raised.is_a(LakeUnreadable)
    assert not raised.is_a(LakeMissing)
    assert not raised.is_a(HoursightError)
    assert Raised.of(ValueError("foreign")) is None


def test_a_source_is_named_after_its_file_or_module() -> None:
    assert CodeSource(path="/x/functions/mine.py", text=b"1").name == "mine"
    assert CodeSource(module="functions.connectors.host").name == "host"
    assert CodeSource(module="functions.connectors.host").code_hash is None
