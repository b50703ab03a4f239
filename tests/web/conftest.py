"""A lake with a fleet in it, and the site over it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from tests.web.site_lakes import SiteLakeWriter
from web.app import create_app

Client = TestClient[Litestar]


@dataclass(frozen=True)
class KeptSite:
    """A site that serves several tests: the first answers of a new one take the longest."""

    writer: SiteLakeWriter
    client: Client


@contextmanager
def kept_site(data: Path) -> Iterator[KeptSite]:
    """Serve a lake without rows within the context."""
    writer = SiteLakeWriter(data)
    app = create_app(writer.folders.data)
    app.state.queries.deadline_s = 60.0  # on a busy machine
    with TestClient(app, "http://127.0.0.1") as client:
        yield KeptSite(writer, client)
    writer.close()


@pytest.fixture(scope="package")
def fleet_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeptSite]:
    with kept_site(tmp_path_factory.mktemp("fleet")) as site:
        yield site


@pytest.fixture(scope="module")
def client(fleet_site: KeptSite) -> Client:
    """The site over a fleet that no test changes, of the time at which the module begins."""
    fleet_site.writer.clear().fleet()
    fleet_site.client.cookies.clear()
    return fleet_site.client


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


@pytest.fixture(scope="package")
def kept_rows_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeptSite]:
    with kept_site(tmp_path_factory.mktemp("rows")) as site:
        yield site


@pytest.fixture
def kept_lake(kept_rows_site: KeptSite) -> SiteLakeWriter:
    """As `lake`, for tests that change nothing but rows."""
    return kept_rows_site.writer.clear()


@pytest.fixture
def kept_client(kept_rows_site: KeptSite, kept_lake: SiteLakeWriter) -> Client:
    """As `site`, over `kept_lake`."""
    assert kept_rows_site.writer is kept_lake
    return kept_rows_site.client
