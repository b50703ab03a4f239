"""The documents inside the site: the list, a search, one document and its pictures."""

from urllib.parse import quote

import pytest

from tests.web.conftest import Client


def test_the_list_names_every_document_and_one_has_its_contents(client: Client) -> None:
    text = client.get("/docs").text
    assert 'href="/docs/README"' in text
    assert 'href="/docs/sources"' in text
    page = client.get("/docs/sources").text
    assert '<h1 id="sources">Sources</h1>' in page
    assert 'href="functions#who-may-write-them"' in page
    assert 'href="#volumes-and-links"' in page
    assert "<html" not in client.get("/docs/sources", headers={"HX-Request": "true"}).text


def test_a_search_works_without_a_script_and_its_words_are_escaped(client: Client) -> None:
    text = client.get("/docs?q=remote+write").text
    assert "<mark>remote</mark>" in text.lower()
    assert 'href="/docs/feeds#' in text
    none = client.get(f"/docs?q={quote('<b>nowhere')}", headers={"HX-Request": "true"}).text
    assert 'data-state="no-hits"' in none
    assert "&lt;b&gt;nowhere" in none
    assert "<html" not in none


def test_pictures_are_served_and_nothing_else(client: Client) -> None:
    assert client.get("/docs/files/fleet.png").headers["content-type"] == "image/png"
    assert client.get("/docs/files/sources.md").status_code == 404


@pytest.mark.parametrize("name", ["nix", "sources.md", "<b>", "..%2Fpyproject", "%25", "x" * 253])
def test_a_document_that_is_not_there_is_not_found(client: Client, name: str) -> None:
    assert client.get(f"/docs/{name}").status_code == 404
    assert client.get(f"/docs/files/{name}").status_code == 404
