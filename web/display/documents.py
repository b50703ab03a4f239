"""The project's documents: Markdown to safe HTML, with anchors, and a search in their sections."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit

from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict

__all__ = ["DocsPage", "Hit", "Section", "documents", "pictures", "rendered", "search"]

_ROOT = Path(__file__).parents[2]
README = "README"
PICTURES = {".png": "image/png", ".svg": "image/svg+xml"}
MAX_TERMS, MAX_QUERY = 8, 200
BEFORE, AFTER = 80, 160
_ANCHOR = re.compile(r'<a id="([\w-]+)">')


@dataclass(frozen=True, slots=True)
class Section:
    """A heading with the text below it, up to the next heading; `level` is 1 to 6."""

    anchor: str
    heading: str
    level: int
    text: str


@dataclass(frozen=True, slots=True)
class DocsPage:
    """A document: its name in the URL, title, first sentence, HTML, and sections in their order.

    Links in the HTML to other documents and to pictures are relative to `/docs/`.
    """

    name: str
    title: str
    about: str
    html: str
    sections: tuple[Section, ...]


@dataclass(frozen=True, slots=True)
class Hit:
    """A section that has every word of a search; `excerpt` has texts, and whether each matches."""

    page: DocsPage
    section: Section
    score: int
    excerpt: tuple[tuple[str, bool], ...] = field(default=())


@cache
def documents() -> Mapping[str, DocsPage]:
    """Return every document by its name; the README comes first."""
    paths = [_ROOT / "README.md", *sorted((_ROOT / "docs").glob("*.md"))]
    return {path.stem: rendered(path.stem, path.read_text()) for path in paths if path.is_file()}


@cache
def pictures() -> Mapping[str, Path]:
    """Return the pictures of the documents by file name."""
    return {path.name: path for path in (_ROOT / "docs").glob("*") if path.suffix in PICTURES}


def rendered(name: str, markdown: str) -> DocsPage:
    """Return a document of Markdown; HTML in it is shown as text, but for anchors."""
    tokens = _parser().parse(markdown)
    _add_anchors(tokens)
    for token in tokens:
        for child in token.children or ():
            _lead_inside(child)
    html = _parser().renderer.render(tokens, _parser().options, {})
    html = html.replace("<pre>", '<pre tabindex="0">')  # so that keys can scroll it
    sections = tuple(_sections(tokens))
    title = next((each.heading for each in sections if each.level == 1), name)
    return DocsPage(name, title, _about(tokens), html, sections)


def _about(tokens: Sequence[Token]) -> str:
    """Return the first sentence of the first paragraph."""
    for token, inline in pairwise(tokens):
        if token.type == "paragraph_open" and token.level == 0 and _plain(inline):
            return re.split(r"(?<=[.:])\s", _plain(inline), maxsplit=1)[0].rstrip(":")
    return ""


def search(pages: Sequence[DocsPage], query: str) -> list[Hit]:
    """Return the sections that have every word of `query`, the best first."""
    terms = [term for term in query[:MAX_QUERY].casefold().split() if term][:MAX_TERMS]
    if not terms:
        return []
    hits = [hit for page in pages for each in page.sections if (hit := _hit(page, each, terms))]
    return sorted(hits, key=lambda hit: -hit.score)


def _hit(page: DocsPage, section: Section, terms: Sequence[str]) -> Hit | None:
    heading, text = section.heading.casefold(), section.text.casefold()
    if not all(term in heading or term in text for term in terms):
        return None
    score = sum(20 * (term in heading) + min(text.count(term), 5) for term in terms)
    return Hit(page, section, score, tuple(_excerpt(section.text, terms)))


def _excerpt(text: str, terms: Sequence[str]) -> Iterator[tuple[str, bool]]:
    """Yield the text around the first match, cut so that each match stands alone."""
    pattern = re.compile("|".join(map(re.escape, terms)), re.IGNORECASE)
    first = pattern.search(text)
    start = max(0, first.start() - BEFORE) if first else 0
    start = text.rfind(" ", 0, start) + 1 if start else 0
    cut = text[start : start + BEFORE + AFTER]
    yield ("…" if start else "", False)
    at = 0
    for match in pattern.finditer(cut):
        yield (cut[at : match.start()], False)
        yield (match[0], True)
        at = match.end()
    yield (cut[at:] + ("…" if start + len(cut) < len(text) else ""), False)


@cache
def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark").enable("table").enable("strikethrough")
    parser.add_render_rule("html_inline", _own_anchor)
    parser.add_render_rule("html_block", _own_anchor)
    parser.add_render_rule("table_open", _table_open)
    parser.add_render_rule("table_close", _table_close)
    return parser


def _own_anchor(
    _: RendererHTML, tokens: Sequence[Token], index: int, __: OptionsDict, ___: EnvType
) -> str:
    content = tokens[index].content
    if anchor := _ANCHOR.fullmatch(content):
        return f'<span id="{anchor[1]}"></span>'
    return "" if content == "</a>" else escapeHtml(content)


def _table_open(*_: object) -> str:
    return '<div class="scroll"><table>\n'


def _table_close(*_: object) -> str:
    return "</table></div>\n"


def _add_anchors(tokens: Sequence[Token]) -> None:
    """Give each heading the id by which links of GitHub name it."""
    seen: Counter[str] = Counter()
    for token, inline in pairwise(tokens):
        if token.type == "heading_open":
            slug = re.sub(r"[^\w\- ]", "", _plain(inline).lower()).replace(" ", "-")
            token.attrSet("id", f"{slug}-{seen[slug]}" if seen[slug] else slug)
            seen[slug] += 1


def _lead_inside(token: Token) -> None:
    """Let a link to a document or a picture lead into the site."""
    key = {"link_open": "href", "image": "src"}.get(token.type)
    if key is None:
        return
    target = str(token.attrGet(key) or "")
    parts = urlsplit(target)
    if parts.scheme or parts.netloc:
        token.attrSet("rel", "noreferrer")
        return
    path = Path(parts.path)
    if path.suffix in PICTURES:
        token.attrSet(key, f"files/{path.name}")
    elif path.suffix == ".md":
        token.attrSet(key, path.stem + (f"#{parts.fragment}" if parts.fragment else ""))


def _sections(tokens: Sequence[Token]) -> Iterator[Section]:
    opened: tuple[str, str, int] | None = None
    texts: list[str] = []
    for token, before in zip(tokens, [None, *tokens], strict=False):
        if before is not None and before.type == "heading_open":
            if opened is not None:
                yield Section(*opened, " ".join(texts))
            level = int(before.tag[1:])
            opened, texts = (str(before.attrGet("id")), _plain(token), level), []
        elif token.type == "inline":
            texts.append(_plain(token))
        elif token.type in ("fence", "code_block"):
            texts.append(" ".join(token.content.split()))
    if opened is not None:
        yield Section(*opened, " ".join(texts))


def _plain(token: Token) -> str:
    """Return the text of an inline token without its markup."""
    parts = []
    for child in token.children or ():
        if child.type in ("text", "code_inline"):
            parts.append(child.content)
        elif child.type in ("softbreak", "hardbreak"):
            parts.append(" ")
    return "".join(parts)
