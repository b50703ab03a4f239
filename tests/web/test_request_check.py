"""Requests that no browser or agent sends."""

import pytest

from tests.web.conftest import Client
from web.request_check import host_name


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("monitor.example:8080", "monitor.example"), ("localhost:", "localhost"),
        ("web_1", "web_1"), ("127.0.0.1:80", "127.0.0.1"), ("[::1]:8080", "::1"),
        ("[0:0::1]", "::1"), ("[", None), ("[::1", None), ("[::1]x", None), ("[v1.x]", None),
        ("[::1%25lo]", None), ("a@127.0.0.1", None), ("127.0.0.1/x", None), ("a:b", None),
        ("a:99999", None), ("a:80:80", None), ("\u2100", None), ("a\x1b", None), ("a b", None),
        ("127.0.0.1\n", None), ("", None), ("-a", None), (254 * "a" + "a", None),
    ],
)  # fmt: skip
def test_the_name_of_a_host_is_that_without_its_port(host: str, name: str | None) -> None:
    assert host_name(host) == name


@pytest.mark.parametrize(
    ("path", "headers", "status", "says"),
    [
        ("/", {"Host": "["}, 400, "the header Host is '[', which is not valid"),
        ("/feed", {"Host": "a\x1b"}, 400, r"the header Host is 'a\\x1b'"),
        ("/static/%00", {}, 400, r"the path '/static/\\x00' has a control character"),
        ("/servers/a%0d%0aX:%20y.csv", {}, 400, r"a\\r\\nX: y.csv"),
        ("/nowhere/%c2%9b", {}, 400, r"/nowhere/\\x9b"),
        ("/" + 2048 * "a", {}, 414, "longer than 2048 characters"),
        ("/", {"X": 65_536 * "a"}, 431, "the headers are larger than 64 KiB"),
        ("/", {"Connection": "Upgrade", "Upgrade": "WebSocket"}, 400, "no websockets"),
    ],
)
def test_it_is_refused_in_words_whatever_the_route(
    client: Client, path: str, headers: dict[str, str], status: int, says: str
) -> None:
    answer = client.get(path, headers=headers)
    assert answer.status_code == status
    assert says in answer.text
    assert answer.json()["remedy"]
    assert str(client.app.state.lake.folders.data) not in answer.text


@pytest.mark.parametrize(
    "path",
    ["/static/" + 300 * "a", "/static/icon.svg/x", "/static/%ff", "/static/%2e%2e/app.py",
     "/static//etc/passwd", "/static", "/servers/%ed%a0%80.csv", "/charts/%zz", "/schema/%ff"],
)  # fmt: skip
def test_a_path_that_names_nothing_is_not_found(client: Client, path: str) -> None:
    assert client.get(path).status_code == 404


@pytest.mark.parametrize(
    ("path", "says"),
    [("/?show=x", "Show: Expected `int`, got `str`"), ("/?show=" + 5000 * "9", "Show: ")],
)
def test_a_parameter_that_is_not_valid_is_named(client: Client, path: str, says: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 400
    assert says in answer.text
