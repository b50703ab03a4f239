"""Saving queries on the SQL page."""

from urllib.parse import urlencode

from tests.web.conftest import Client
from tests.web.site_lakes import SiteLakeWriter

HOSTILE = "<b>my & query</b>"


def test_a_saved_query_is_listed_runs_and_can_be_removed(
    lake: SiteLakeWriter, site: Client
) -> None:
    assert lake.folders.data.exists()
    sql = "SELECT 1 -- äöü & more"
    saved = site.post("/sql/saved", data={"name": HOSTILE, "q": sql}, follow_redirects=False)
    assert (saved.status_code, saved.headers["location"]) == (303, f"/sql?{urlencode({'q': sql})}")
    page = site.get("/sql").text
    assert "Saved as &#39;&lt;b&gt;my &amp; query&lt;/b&gt;&#39;" in page
    assert "SELECT%201%20--%20%C3%A4%C3%B6%C3%BC%20%26%20more" in page
    removed = site.post("/sql/saved/remove", data={"name": HOSTILE})
    assert "None yet." in removed.text
    entries = [(row["action"], row["target"]) for row in site.app.state.audit._waiting]
    assert entries == [("query saved", HOSTILE), ("query removed", HOSTILE)]


def test_a_query_that_cannot_be_saved_is_said_so(client: Client) -> None:
    answer = client.post("/sql/saved", data={"name": " ", "q": ""})
    assert "is not a valid name of a query" in answer.text
    answer = client.post("/sql/saved/remove", data={"name": "x"})
    assert "no query is saved as" in answer.text


def test_a_form_without_its_fields_is_refused(client: Client) -> None:
    assert client.post("/sql/saved", data={"name": "x"}).status_code == 400
