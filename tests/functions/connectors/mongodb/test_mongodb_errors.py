"""Errors of MongoDB: each is reported with its remedy."""

import pytest
from pymongo.errors import AutoReconnect, ExecutionTimeout, OperationFailure
from pymongo.errors import ServerSelectionTimeoutError as NoServer

from functions.connectors.mongodb.mongodb_connection import MongoConnection
from functions.connectors.mongodb.mongodb_errors import unreachable
from functions.engine.function import Unreachable
from scripts.ports import free_port
from tests.conftest import NOW
from tests.functions.connectors.mongodb.mongod_rig import source_text

PLAIN = MongoConnection("monitoring", "samples")


def test_a_wrong_password_is_reported_with_the_keys_to_check(
    mongod, collection, open_read, monkeypatch
):
    monkeypatch.setenv("MONGO_PASSWORD", "wrong")
    read = open_read(source_text(mongod, collection.name))
    with pytest.raises(Unreachable, match=r"refused the credentials of 'reader' \(code 18\)"):
        read.run(NOW, None)


def test_a_user_without_the_role_learns_which_one_to_ask_for(mongod, collection, open_read):
    text = source_text(mongod, collection.name).replace('"monitoring"', '"payroll"')
    with pytest.raises(Unreachable, match="grant the role 'read' on 'payroll'"):
        open_read(text).run(NOW, None)


def test_a_port_on_which_nothing_listens_is_reported(mongod, open_read):
    text = source_text(mongod, "samples", timeout="2s").replace(
        f"port = {mongod.port}", f"port = {free_port()}"
    )
    with pytest.raises(Unreachable, match=r"connection refused .*check host and port"):
        open_read(text).run(NOW, None)


def test_tls_that_does_not_fit_is_reported_with_the_keys_to_check(secured, open_read):
    server, folder = secured
    wrong_authority = source_text(server, "samples", f'tls = true\nca_file = "{folder}/other.pem"')
    with pytest.raises(Unreachable, match=r"TLS handshake failed .*check tls, ca_file"):
        open_read(wrong_authority).run(NOW, None)
    with pytest.raises(Unreachable, match="if it expects TLS, write tls = true"):
        open_read(source_text(server, "samples")).run(NOW, None)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OperationFailure("no such stage", 40324), "MongoDB answered: no such stage"),
        (ExecutionTimeout("time limit", 50), "MongoDB answered: time limit"),
        (
            NoServer("a:1: timed out (configured timeouts: connect: 1s), Timeout: 1s, Topology …"),
            r"^MongoDB does not answer within 5s \(a:1: timed out\)$",
        ),
        (AutoReconnect("a:1: [Errno 111] Connection refused"), "connection refused"),
    ],
)
def test_details_of_the_driver_are_left_out(error, message):
    with pytest.raises(Unreachable, match=message):
        raise unreachable(error, PLAIN)
