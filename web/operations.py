"""OpenAPI operations: the media types of an answer, and the answers to errors."""

from dataclasses import dataclass
from typing import ClassVar

from litestar.openapi.spec import OpenAPIMediaType, OpenAPIResponse, OpenAPIType, Operation, Schema

__all__ = ["JSON", "PAGE", "PROBLEM", "SiteOperation", "answering"]

JSON, PAGE, PROBLEM = "application/json", "text/html", "application/problem+json"
_TEXT = Schema(type=OpenAPIType.STRING)
# JSON without a schema of its own: the docs describe what is public in it.
_SCHEMAS = {
    JSON: Schema(),
    PROBLEM: Schema(
        type=OpenAPIType.OBJECT, required=["type", "title", "status", "detail"],
        description="RFC 9457, with `remedy`: what to do",
        properties={
            "type": _TEXT, "title": _TEXT, "detail": _TEXT, "remedy": _TEXT, "instance": _TEXT,
            "status": Schema(type=OpenAPIType.INTEGER),
        },
    ),
}  # fmt: skip


def _response(description: str, *media_types: str) -> OpenAPIResponse:
    content = {name: OpenAPIMediaType(schema=_SCHEMAS.get(name, _TEXT)) for name in media_types}
    return OpenAPIResponse(description, content=content)


@dataclass
class SiteOperation(Operation):
    """An operation that may also answer with an error, as a page or as JSON."""

    media_types: ClassVar[tuple[str, ...]] = ()
    error_types: ClassVar[tuple[str, ...]] = (PROBLEM, PAGE)

    def __post_init__(self) -> None:
        responses = dict(self.responses or {})
        if self.media_types:
            responses = {"200": _response("what the summary says", *self.media_types)}
        responses["default"] = _response(
            "an error: what is wrong, and the remedy", *self.error_types
        )
        self.responses = responses


def answering(*media_types: str, errors: tuple[str, ...] = (PROBLEM, PAGE)) -> type[SiteOperation]:
    """Return an operation that answers with one of these media types, and `errors` with others."""
    fields = {"media_types": media_types, "error_types": errors}
    return type("AnsweringOperation", (SiteOperation,), fields)
