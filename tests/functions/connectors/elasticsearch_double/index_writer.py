"""The backend of the tests, a double or a real server, and a client that fills its indices."""

import base64
import os
from itertools import count
from typing import Any

from elasticsearch import Elasticsearch, helpers

from tests.functions.connectors.elasticsearch_double.double_store import Store, User
from tests.functions.connectors.elasticsearch_double.http_front import HttpFront, RealServer

REAL = os.environ.get("ELASTICSEARCH_URL")
USER = os.environ.get("ELASTICSEARCH_USER", "reader")
PASSWORD = os.environ.get("ELASTICSEARCH_PASSWORD", "päss/w:rd@1%")
API_KEY = os.environ.get("ELASTICSEARCH_API_KEY", "" if REAL else "VuaCfGcBCdbk:ui2lp2axTNm")
PREFIX = "hoursight-test"
NAMES = count()


def backend() -> Any:
    """Return a double, or the real server of ELASTICSEARCH_URL."""
    if REAL:
        return RealServer(REAL, os.environ.get("ELASTICSEARCH_CA_FILE"))
    reader, writer = User("reader", f"{PREFIX}-*"), User("writer", "*", writes=True)
    return Store({"reader": (PASSWORD, reader), "writer": ("w", writer)}, {API_KEY: reader})


def base64_of(pair: str) -> str:
    return base64.b64encode(pair.encode()).decode()


class IndexWriter:
    """Fills indices over HTTP, as Beats does, with its own credentials."""

    def __init__(self, front: HttpFront, **tls: Any) -> None:
        credentials = base64_of(f"{USER}:{PASSWORD}" if REAL else "writer:w")
        self.client = Elasticsearch(front.url, basic_auth=credentials, max_retries=0, **tls)
        self._indices: list[str] = []
        self._streams: list[str] = []

    def index(self, name: str | None = None, **types: str) -> str:
        """Create an index with a time field `ts`, or the fields of `types`; return its name."""
        name = name or f"{PREFIX}-{os.getpid()}-{next(NAMES)}"
        kinds = types or {"ts": "date"}
        properties = {field: {"type": kind} for field, kind in kinds.items()}
        self.client.indices.create(
            index=name, mappings={"dynamic": False, "properties": properties}
        )
        self._indices.append(name)
        return name

    def stream(self) -> str:
        """Return the name of a data stream that its first document creates."""
        name = f"{PREFIX}-stream-{os.getpid()}-{next(NAMES)}"
        mappings = {"properties": {"@timestamp": {"type": "date"}}}
        self.client.indices.put_index_template(
            name=name, index_patterns=[name], data_stream={}, template={"mappings": mappings}
        )
        self._streams.append(name)
        return name

    def put(self, index: str, documents: list[dict[str, Any]]) -> None:
        actions = [{"_op_type": "create", "_index": index, "_source": d} for d in documents]
        helpers.bulk(self.client, actions, refresh=True)

    def close(self) -> None:
        for name in self._indices:
            self.client.options(ignore_status=404).indices.delete(index=name)
        for name in self._streams:
            self.client.options(ignore_status=404).indices.delete_data_stream(name=name)
            self.client.options(ignore_status=404).indices.delete_index_template(name=name)
        self.client.close()
