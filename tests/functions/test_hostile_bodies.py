"""Each endpoint and command that takes JSON answers hostile texts with a refusal, never a fault."""

import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from functions.connectors.source_file import parse_source_toml
from functions.engine.executors.subprocess_executor import WorkerFactory
from functions.engine.function_endpoint import FunctionEndpoint
from functions.engine.listeners import CommitListener
from functions.engine.runner import Runner
from functions.engine.user_code import UserCode
from functions.ingest.ingest_service import serve_ingest
from functions.normalize.file_readers import FileUnreadable, read_chunks
from functions.normalize.strict_toml import SourceInvalid
from scripts.cli.call import NotCalled, call_function
from storage.config.settings import Settings
from storage.ipc.rpc import serve_rpc
from storage.lake.writer import Writer
from tests.functions.module_lakes import house_at
from tests.hostile import HARMLESS, MALFORMED, TOO_LARGE
from tests.web.conftest import Client
from tests.web.test_auth import site

RISK = "/api/v1/functions/risk?dry_run=true"
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("hostile")
    Writer.open(data).close()
    return data


@pytest.fixture(scope="module")
def endpoint(data: Path) -> FunctionEndpoint:
    with house_at(data) as house:
        runner = Runner(house.folders, Settings())
        worker_factory = WorkerFactory(house.folders, Settings())
        return FunctionEndpoint(
            runner,
            worker_factory,
            UserCode(runner, worker_factory, CommitListener(house.folders, _stop())),
        )


@pytest.fixture(scope="module")
def client(data: Path, endpoint: FunctionEndpoint) -> Iterator[Client]:
    """The site, with all that runs behind it."""
    folders = endpoint._runner.folders
    with (
        serve_ingest(folders),
        serve_rpc(folders.rpc_socket, endpoint.answer),
        site(data, False, "127.0.0.1") as client,
    ):
        yield client


def _stop() -> threading.Event:
    stop = threading.Event()
    stop.set()
    return stop


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
@pytest.mark.parametrize("path", ["/feed", "/feed/data", RISK])
def test_a_malformed_body_is_refused_with_a_reason(client: Client, path: str, body: bytes) -> None:
    answer = client.post(path, content=body, headers=JSON)
    assert answer.status_code in (400, 422), answer.text
    assert "JSON" in answer.json()["message"]


@pytest.mark.parametrize("body", HARMLESS.values(), ids=HARMLESS)
@pytest.mark.parametrize("path", ["/feed", RISK])
def test_a_strange_body_is_no_fault_of_ours(client: Client, path: str, body: bytes) -> None:
    answer = client.post(path, content=body, headers=JSON)
    assert answer.status_code < 500, answer.text


@pytest.mark.parametrize("path", ["/feed", RISK])
def test_a_body_of_16_mb_is_too_large(client: Client, path: str) -> None:
    assert client.post(path, content=TOO_LARGE, headers=JSON).status_code == 413


@pytest.mark.parametrize("body", [b"", b" "])
def test_no_body_is_none_to_a_function_and_no_records_to_the_feed(
    client: Client, body: bytes
) -> None:
    assert client.post(RISK, content=body, headers=JSON).status_code == 200
    assert client.post("/feed", content=body, headers=JSON).status_code == 422


@pytest.mark.parametrize("text", [*MALFORMED.values(), b"", b"1"])
def test_a_question_over_the_socket_that_cannot_be_read_is_refused(
    endpoint: FunctionEndpoint, text: bytes
) -> None:
    assert endpoint.answer(text)[0] == 400
    inside = b'{"name": "risk", "body": ' + (text or b"?") + b', "dry_run": true}'
    status, answer = endpoint.answer(inside)
    assert status == (200 if text == b"1" else 400), answer
    assert msgspec.json.decode(answer)


def test_an_integer_that_cannot_cross_to_a_worker_is_refused(client: Client) -> None:
    answer = client.post(RISK, content=HARMLESS["an integer of 65 bits"], headers=JSON)
    assert answer.status_code == 400
    assert "more than 64 bits" in answer.text


@pytest.mark.parametrize("text", MALFORMED.values(), ids=MALFORMED)
def test_a_command_says_that_its_body_is_not_json(data: Path, text: bytes) -> None:
    body = text.decode(errors="surrogateescape")  # as Python hands over an argument
    with pytest.raises(NotCalled, match="is not valid JSON") as refusal:
        call_function(
            data, "risk", None, print, once=True, body=body, files=(), verbose=False, dry_run=True
        )
    assert len(str(refusal.value)) < 1000


# Files may have NaN: it is refused as a value.
IN_FILES = {name: text for name, text in MALFORMED.items() if name != "NaN"}


@pytest.mark.parametrize("text", IN_FILES.values(), ids=IN_FILES)
def test_a_line_of_a_file_is_left_out_and_the_next_is_read(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"server": "a"}\n' + text + b'\n{"server": "b"}\n')
    chunks = list(read_chunks(path))
    assert [d["server"] for chunk in chunks for d in chunk.documents] == ["a", "b"]
    assert sum(chunk.refused for chunk in chunks) == 1
    assert "line 2 is not JSON" in chunks[0].why


@pytest.mark.parametrize("text", IN_FILES.values(), ids=IN_FILES)
def test_a_file_that_is_one_damaged_list_cannot_be_read(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b"[" + text + b"]")
    with pytest.raises(FileUnreadable, match="not a list of JSON documents"):
        list(read_chunks(path))


def test_a_source_file_nested_too_deep_is_refused_in_words() -> None:
    with pytest.raises(SourceInvalid, match="not valid TOML"):
        parse_source_toml(b"a = " + b"[" * 25_000)
