"""Documents: safe HTML with anchors and links of the site, and the search in their sections."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from web.display.documents import README, documents, pictures, rendered, search

TEXT = """# A page

First sentence. Second one.

<a id="own"></a>**Own.** A [link](sources.md#times), [back](../README.md), [out](https://x.example).

## Two `words`, here

| a | b |
|---|---|
| silence | <b>x</b> |

![f](fleet.png)

## Two `words`, here

```
silence web
```
"""


def test_links_pictures_and_headings_lead_where_they_do_on_the_site() -> None:
    html = rendered("page", TEXT).html
    for part in (
        'href="sources#times"', 'href="README"', 'src="files/fleet.png"', '<span id="own"></span>',
        'id="two-words-here"', 'id="two-words-here-1"', 'rel="noreferrer"', '<div class="scroll">',
        "&lt;b&gt;x&lt;/b&gt;",
    ):  # fmt: skip
        assert part in html, part


@settings(max_examples=25)
@given(st.text(max_size=60).map("[x](javascript:alert(1)) <script>alert(1)</script> {}".format))
def test_no_text_of_a_document_becomes_a_script(text: str) -> None:
    html = rendered("page", text).html
    assert "<script" not in html
    assert 'href="javascript' not in html


def test_a_search_finds_sections_with_every_word_those_with_it_in_the_heading_first() -> None:
    page = rendered("page", TEXT)
    both = search([page], "SILENCE web")
    assert [(hit.section.anchor, hit.section.heading) for hit in both] == [
        ("two-words-here-1", "Two words, here")
    ]
    assert [text for text, match in both[0].excerpt if match] == ["silence", "web"]
    assert [hit.section.level for hit in search([page], "a page")] == [1]
    assert search([page], "") == search([page], "silence nowhere") == []


def test_the_first_sentence_says_what_a_document_is_about() -> None:
    page = rendered("page", TEXT)
    assert (page.title, page.about) == ("A page", "First sentence.")


@pytest.mark.parametrize("name", [README, "sources", "loop", "functions"])
def test_no_link_between_the_projects_own_documents_is_broken(name: str) -> None:
    pages = documents()
    for href in re.findall(r'href="([^"]*)"', pages[name].html):
        if href.startswith(("http:", "https:", "mailto:")):
            continue
        target, _, anchor = href.partition("#")
        assert target == "" or target in pages, href
        assert not anchor or f'id="{anchor}"' in pages[target or name].html, href
    for source in re.findall(r'src="files/([^"]*)"', pages[name].html):
        assert source in pictures()
