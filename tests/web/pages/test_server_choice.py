"""The query of a server's page."""

import pytest

from web.http_errors import HttpRejection
from web.pages.server_choice import ServerChoice


def test_a_choice_is_a_query_without_its_empty_fields() -> None:
    assert ServerChoice().query() == ""
    assert ServerChoice(since="2026-01-01T00:00Z", said="1h").query() == (
        "?from=2026-01-01T00%3A00Z&said=1h"
    )


def test_a_period_takes_the_place_of_fixed_times() -> None:
    choice = ServerChoice(since="2026-01-01", until="2026-01-02", said="1h")
    assert choice.with_span("7d") == "?last=7d&said=1h"
    assert choice.with_span("") == "?said=1h"


def test_what_was_said_is_kept_for_some_times_only() -> None:
    with pytest.raises(HttpRejection, match="said='3h' is not known"):
        ServerChoice(said="3h")
