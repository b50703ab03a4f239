"""A lake with a fleet in it, and the site over it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from tests.web.site_lakes import SiteLakeWriter
from web.app import create_app

Client = TestClient[Litestar]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """The site over a fleet that no test changes."""
    writer = SiteLakeWriter(tmp_path_factory.mktemp("var")).fleet()
    app = create_app(writer.folders.data)
    app.state.queries.deadline_s = 60.0  # on a busy machine
    with TestClient(app, "http://127.0.0.1") as client:
        yield client
    writer.close()


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[SiteLakeWriter]:
    """A lake without rows, for the test to fill."""
    writer = SiteLakeWriter(tmp_path / "var")
    yield writer
    writer.close()


@pytest.fixture
def fleet(lake: SiteLakeWriter) -> SiteLakeWriter:
    """The same lake, with the fleet of `tests.web.site_lakes` in it."""
    return lake.fleet()


@pytest.fixture
def site(lake: SiteLakeWriter) -> Iterator[Client]:
    """The site over `lake`."""
    with TestClient(create_app(lake.folders.data), "http://127.0.0.1") as client:
        yield client
