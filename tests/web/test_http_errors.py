"""HTTP errors with a remedy."""

from litestar.exceptions import HTTPException

from storage.errors import HoursightError
from web.http_errors import HttpRejection, Overloaded


def test_a_rejection_has_status_message_remedy_and_headers() -> None:
    error = HttpRejection(429, "too many pushes", "retry later", {"Retry-After": "1"})
    assert (error.status_code, error.detail, error.remedy) == (
        429, "too many pushes", "retry later",
    )  # fmt: skip
    assert error.headers == {"Retry-After": "1"}


def test_a_rejection_is_an_error_of_ours_and_of_http() -> None:
    error = HttpRejection(503, "the disk is full", "free space")
    assert isinstance(error, HoursightError)
    assert isinstance(error, HTTPException)


def test_the_headers_are_not_shared_with_the_caller() -> None:
    headers = {"Allow": "GET"}
    error = HttpRejection(405, "no", "use GET", headers)
    headers["Allow"] = "POST"
    assert error.headers == {"Allow": "GET"}


def test_an_overload_says_when_to_try_again() -> None:
    error = Overloaded("too many pushes at once")
    assert error.headers == {"Retry-After": "5"}
    assert (error.status_code, error.remedy) == (503, "send it again in some seconds")
