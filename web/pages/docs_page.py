"""The project's own documents inside the site: a list with search, one document, its pictures."""

from litestar import Response, get
from litestar.exceptions import NotFoundException
from litestar.params import FromPath, FromQuery

from storage.errors import HoursightError
from web.display.documents import PICTURES, documents, pictures, search
from web.operations import PAGE, answering
from web.rendering import SiteRequest, TheTime, page

__all__ = ["docs_file", "docs_page", "document_page"]

PAGE_ROWS = 50
DAY_SECONDS = 86_400


class DocumentNotFound(HoursightError, NotFoundException):
    """No document and no picture of one has that name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"document {name!r} not found: /docs lists those that there are")


@get(
    "/docs", sync_to_thread=True, summary="Documents, with search", operation_class=answering(PAGE)
)
def docs_page(request: SiteRequest, request_time: TheTime, q: FromQuery[str] = "") -> Response[str]:
    """HTML; for requests of htmx only the fragment that changes."""
    pages = list(documents().values())
    hits = search(pages, q)
    return page(
        request, "docs", now=request_time, pages=pages, query=q.strip(), hits=hits[:PAGE_ROWS],
        total=len(hits),
    )  # fmt: skip


@get(
    "/docs/{name:str}", sync_to_thread=True, summary="One document",
    operation_class=answering(PAGE),
)  # fmt: skip
def document_page(
    request: SiteRequest, request_time: TheTime, name: FromPath[str]
) -> Response[str]:
    """HTML; for requests of htmx only the document."""
    document = documents().get(name)
    if document is None:
        raise DocumentNotFound(name)
    return page(
        request, "document", now=request_time, document=document, pages=documents().values()
    )  # fmt: skip


@get(
    "/docs/files/{name:str}", sync_to_thread=True, summary="A picture of a document",
    operation_class=answering(*PICTURES.values()),
)  # fmt: skip
def docs_file(name: FromPath[str]) -> Response[bytes]:
    """PNG or SVG."""
    path = pictures().get(name)
    if path is None:
        raise DocumentNotFound(name)
    headers = {"Cache-Control": f"private, max-age={DAY_SECONDS}"}
    return Response(path.read_bytes(), media_type=PICTURES[path.suffix], headers=headers)
