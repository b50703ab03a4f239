import json

import pytest

from storage.ipc.decoding import InvalidJson
from storage.ipc.push_protocol import Push, rejection_json


def test_a_push_survives_the_way_through_the_socket() -> None:
    push = Push("influx", b"cpu a=1\ncpu a=2\n", "gzip", {"precision": "ms", "db": "x"})
    assert Push.unpacked(push.packed()) == push


def test_a_body_of_any_bytes_is_unchanged() -> None:
    body = bytes(range(256)) + b"\n\n"
    assert Push.unpacked(Push("otlp", body).packed()).body == body


def test_an_empty_body_stays_empty() -> None:
    assert Push.unpacked(Push("json").packed()) == Push("json", b"")


def test_a_head_that_is_not_a_push_raises_invalid_json() -> None:
    for head in (b"", b"[]", b'{"body": ""}', b'{"kind": 7}'):
        with pytest.raises(InvalidJson):
            Push.unpacked(head + b"\nbody")


def test_a_rejection_has_the_reason_in_the_fields_that_influx_clients_show() -> None:
    body = json.loads(rejection_json(422, "line 3: no value", "send a number", accepted=2))
    assert body["message"] == body["error"] == "line 3: no value: send a number"
    assert (body["detail"], body["remedy"]) == ("line 3: no value", "send a number")
    assert (body["code"], body["status_code"], body["accepted"]) == (
        "unprocessable entity", 422, 2,
    )  # fmt: skip


def test_a_rejection_without_a_remedy_is_the_reason_alone() -> None:
    assert json.loads(rejection_json(503, "the disk is full"))["message"] == "the disk is full"


def test_a_push_keeps_the_parameters_that_have_a_meaning_and_no_password() -> None:
    given = {"u": "telegraf", "p": "hunter2", "db": "x", "precision": "s", "time": "ms"}
    push = Push("lines", parameters=given)
    assert push.parameters == {"precision": "s", "time": "ms"}
    assert b"hunter2" not in push.packed()
    older = Push("lines").packed().replace(b'"lines"', b'"lines","parameters":{"p":"hunter2"}')
    assert Push.unpacked(older).parameters == {}
