"""Fragments with changed rows only."""

from web.display.row_digests import digested

PAGE = (
    "<p>2 servers</p><table><tbody>\n"
    '<tr class="healthy" data-server="a"><td>{a}</td></tr>\n'
    '<tr class="healthy" data-server="b"><td>7</td></tr>\n'
    "</tbody></table>"
)
AGE = '<time class="age" datetime="{at}" title="{text}">{text}</time>'


def html(a: str) -> str:
    return PAGE.replace("{a}", a)


def test_without_digests_the_answer_is_whole_and_has_them() -> None:
    fragment = digested(html("1"), {})
    answer = fragment.answer(frozenset())
    rows = " ".join(fragment.digests)
    assert f'<tbody data-rows="{rows}" data-whole="{fragment.whole}">' in answer
    assert answer.count("<td>") == 2


def test_a_row_that_the_page_shows_is_named_only() -> None:
    before, after = digested(html("1"), {}), digested(html("2"), {})
    answer = after.answer({*before.digests, before.whole})
    assert "<td>2</td>" in answer
    assert "<td>7</td>" not in answer
    assert f'<tr data-kept="{before.digests[1]}"></tr>' in answer


def test_a_page_that_shows_everything_gets_no_answer() -> None:
    fragment = digested(html("1"), {})
    assert fragment.answer({fragment.whole}) is None


def test_the_text_of_an_age_does_not_count_but_its_time_does() -> None:
    ages = [AGE.format(at=at, text=text) for at, text in ((1, "2 s"), (1, "9 s"), (2, "2 s"))]
    same, later, other = (digested(html(age), {}).digests[0] for age in ages)
    assert same == later != other


def test_the_link_to_the_query_does_not_count() -> None:
    links = (f'<a class="how" href="/sql?q={n}">how</a>' for n in (1, 2))
    one, other = (digested(html(link), {}).whole for link in links)
    assert one == other


def test_a_fragment_without_rows_is_passed_on() -> None:
    assert digested("<p>waiting</p>", {}).answer(frozenset()) == "<p>waiting</p>"
