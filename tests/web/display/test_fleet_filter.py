"""The filter of the fleet page and its links."""

from web.display.fleet_filter import MAX_ROWS, FleetFilter


def test_a_link_keeps_the_rest_of_the_filter_and_starts_at_the_first_rows() -> None:
    chosen = FleetFilter(q="a b", profile="database", show=150)
    assert chosen.link(severity="danger") == "/?q=a+b&profile=database&severity=danger"
    assert chosen.link(show=200) == "/?q=a+b&profile=database&show=200"
    assert FleetFilter(changed=True).link() == "/?changed=1"
    assert FleetFilter(severity="danger").link(severity="") == "/"


def test_a_view_or_group_leaves_no_server_out() -> None:
    assert not FleetFilter(view="heat", group="site", sort="ahead").on
    assert FleetFilter(tag="eu").on


def test_the_number_of_rows_is_bounded() -> None:
    assert FleetFilter(show=10**9).parameters["show"] == MAX_ROWS
    assert FleetFilter(show=-1).parameters["show"] == 1
