from collections.abc import Iterator
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from scripts.mongod import DATABASE, READER, Mongod, running

PASSWORD = "of a test"  # noqa: S105 - of a mongod of our own


@pytest.fixture(scope="module")
def mongod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mongod]:
    with running(tmp_path_factory.mktemp("mongod"), PASSWORD) as mongod:
        yield mongod


def test_the_reader_may_read_and_not_write(mongod: Mongod) -> None:
    with mongod.admin() as client:
        client[DATABASE]["samples"].insert_one({"a": 1})
    reader: MongoClient[dict[str, Any]] = MongoClient(
        "127.0.0.1", mongod.port, username=READER, password=PASSWORD, directConnection=True
    )
    with reader as client:
        assert client[DATABASE]["samples"].count_documents({}) == 1
        with pytest.raises(OperationFailure, match="not authorized"):
            client[DATABASE]["samples"].insert_one({"a": 2})


def test_a_killed_server_starts_again_with_its_data(mongod: Mongod) -> None:
    with mongod.admin() as client:
        client[DATABASE]["kept"].insert_one({"a": 1})
    mongod.kill()
    assert mongod.pid is None
    mongod.start()
    assert mongod.pid is not None
    with mongod.admin() as client:
        assert client[DATABASE]["kept"].count_documents({}) == 1


def test_a_suspended_server_answers_again_when_it_is_resumed(mongod: Mongod) -> None:
    mongod.suspend()
    with mongod.admin(socketTimeoutMS=300) as client, pytest.raises(PyMongoError):
        client.admin.command("ping")
    mongod.resume()
    with mongod.admin() as client:
        assert client.admin.command("ping")["ok"] == 1
