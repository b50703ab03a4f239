"""The pages in the head of the site."""

import pytest

from tests.web.conftest import Client
from web.navigation import NAVIGATION, Entry


@pytest.mark.parametrize("entry", NAVIGATION, ids=lambda entry: entry.name)
def test_each_page_in_the_head_exists_and_is_marked_as_the_current_one(
    client: Client, entry: Entry
) -> None:
    page = client.get(entry.path)
    assert page.status_code == 200
    assert f'href="{entry.path}" aria-current="page"' in page.text
