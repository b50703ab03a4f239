"""Schemathesis on a real site: a short run of the tool."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from functions.ingest.ingest_service import serve_ingest
from storage.config.api_keys import create_key
from storage.config.folders import Folders
from tests.conftest import NOW
from tests.web.raw_site import serving
from tests.web.site_lakes import FLEET, SiteLakeWriter

# The .json of a page stands for its other exports, and a path for its other name under /api/v1.
OTHER_NAMES = r"^/api/v1/(predictions|predict|explain|status$|alerts/active)|^/status$"
EXCLUDED = rf"^/live$|\.(csv|parquet|arrow)$|{OTHER_NAMES}"

pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    SiteLakeWriter(tmp_path).fleet(FLEET[:1]).close()
    with serve_ingest(Folders.at(tmp_path)), serving(tmp_path) as port:
        yield f"http://127.0.0.1:{port}"


def test_no_made_up_request_fails_or_gets_what_is_not_described(
    site: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from scripts.tools.api_fuzz import fuzz

    key = create_key(Folders.at(tmp_path), "fuzz", ["feed", "read"], NOW)
    options = ["--phases", "fuzzing", "--max-examples", "1", "--no-color"]
    assert fuzz(site, key, 7, options, EXCLUDED) == 0, capsys.readouterr().out
    selected, tested = re.findall(r"(?:Selected|Tested): (\d+)", capsys.readouterr().out)
    assert selected == tested
    assert int(tested) > 20
