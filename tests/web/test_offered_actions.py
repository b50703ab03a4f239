"""A page offers a viewer no form by which something is changed."""

import re
from collections.abc import Iterator

import pytest
from litestar.testing import TestClient

from storage.config.api_keys import create_key
from tests.conftest import NOW
from tests.web.conftest import Client
from tests.web.site_lakes import FLEET, SiteLakeWriter
from web.app import create_app


@pytest.fixture(scope="module")
def keyed(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Client, dict[str, str]]]:
    writer = SiteLakeWriter(tmp_path_factory.mktemp("var")).fleet(FLEET[:1])
    keys = {scope: create_key(writer.folders, scope, [scope], NOW) for scope in ("read", "operate")}
    with TestClient(create_app(writer.folders.data), "http://127.0.0.1") as client:
        yield client, keys
    writer.close()


def test_a_viewer_sees_no_form_that_posts_and_an_operator_does(
    keyed: tuple[Client, dict[str, str]],
) -> None:
    client, keys = keyed
    forms = {
        scope: re.findall(r'<form[^>]*method="post"[^>]*>', client.get(
            f"/servers/{FLEET[0].name}", headers={"X-API-Key": key}
        ).text)
        for scope, key in keys.items()
    }  # fmt: skip
    assert forms["read"] == []
    assert len(forms["operate"]) >= 3
