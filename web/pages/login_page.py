"""Login and logout: by the password of a user, or by an API key."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from urllib.parse import parse_qs, quote, urlsplit

from litestar import Response, get, post
from litestar.datastructures import Cookie
from litestar.params import FromQuery
from litestar.response import Redirect

from storage.config.api_keys import ApiKeyError, includes
from storage.config.users import UserError
from storage.model.periods import parse_period
from web.actions import local_path
from web.audit import noted
from web.auth import OPEN, Auth, require_origin
from web.http_errors import HttpRejection
from web.identity import SESSION_COOKIE, Identity
from web.login_limits import LoginLimits
from web.operations import PAGE, answering
from web.rendering import SiteRequest, page, time_of
from web.turns import Turns

__all__ = [
    "Logins",
    "asks_for_login",
    "is_https",
    "log_in",
    "log_out",
    "logged_in",
    "login_answer",
    "login_page",
    "wanted_path",
]

MAX_FORM_BYTES, MAX_FIELDS, MAX_FIELD = 16 << 10, 10, 300
# A password costs 19 MiB and a core for some 30 ms.
MAX_VERIFIED, MAX_VERIFIED_WAITING, MAX_VERIFIED_WAIT_S = 2, 32, 10.0
WRONG = "the name or the password is wrong"
KEY_PREFIX = "hs_"


class Logins:
    """The limits on logins of one site."""

    def __init__(self) -> None:
        self.limits = LoginLimits()
        self.turns = Turns("logins", MAX_VERIFIED, MAX_VERIFIED_WAITING, MAX_VERIFIED_WAIT_S)


class Proof(NamedTuple):
    """What a login has shown: an identity, and the proof that the session refers to."""

    identity: Identity
    subject: str


@get(
    "/login", sync_to_thread=False, summary="Login page", opt=OPEN,
    operation_class=answering(PAGE),
)  # fmt: skip
def login_page(request: SiteRequest, next: FromQuery[str] = "/") -> Response[str]:  # noqa: A002 - in URLs
    """HTML; `next` is the page of this site to which a login leads."""
    visitor = _auth(request).visitor(request)
    headline = f"logged in as {visitor.name}, {visitor.role}" if visitor else "log in"
    return login_answer(request, 200, headline, wanted=next)


@post(
    "/login", status_code=303, summary="Log in", opt=OPEN, operation_class=answering(PAGE),
    request_max_body_size=MAX_FORM_BYTES,
)  # fmt: skip
async def log_in(request: SiteRequest) -> Response[str]:
    """The form has `name`, `password` and `next`. 401: wrong; 429: too many failed logins."""
    require_origin(request)
    fields = _fields(await request.body())
    name, password, wanted = (fields.get(key, "") for key in ("name", "password", "next"))
    now, auth = datetime.now(UTC), _auth(request)
    address = auth.address(request)
    by_key = password.startswith(KEY_PREFIX) and not name
    account = f"a key from {address}" if by_key else name[:64]
    logins: Logins = request.app.state.logins
    wait = logins.limits.wait(address, account, auth.sessions.addresses(name), now)
    if wait is not None:
        return _too_many(request, account, name, wanted, wait)
    logins.limits.attempted(address, account, now)
    try:
        proven = await _proven(request, name, password, by_key)
    except (UserError, ApiKeyError) as error:
        return login_answer(request, 503, error.message, error.remedy or "", name, wanted)
    if isinstance(proven, str):
        noted(request, "login", actor=account or "nobody", error=proven)
        return login_answer(request, 401, proven, "", name, wanted)
    logins.limits.succeeded(address, account)
    return logged_in(request, proven.identity, proven.subject, wanted)


@post(
    "/logout", status_code=303, summary="Log out", opt=OPEN, operation_class=answering(PAGE),
    request_max_body_size=MAX_FORM_BYTES,
)  # fmt: skip
async def log_out(request: SiteRequest) -> Response[str]:
    """End the session of this browser."""
    auth = _auth(request)
    request.scope["state"]["hoursight_identity"] = auth.visitor(request)
    session = auth.sessions.end(request.cookies.get(SESSION_COOKIE, ""))
    if session is not None:
        noted(request, "logout", actor=session.name, shown_by=session.kind)
    gone = Cookie(SESSION_COOKIE, value="", max_age=0, httponly=True, samesite="lax")
    return Redirect("/login", status_code=303, cookies=[gone])


def asks_for_login(request: SiteRequest) -> bool:
    """Return True for a browser that opens a page, where somebody can log in."""
    if request.method != "GET" or not _auth(request).offers_login():
        return False
    return bool(request.htmx) or "text/html" in request.headers.get("accept", "")


def login_answer(
    request: SiteRequest,
    status_code: int,
    headline: str,
    remedy: str = "",
    name: str = "",
    wanted: str = "/",
) -> Response[str]:
    """Return the page with the login; an open page is loaded again, and so comes to it."""
    auth = _auth(request)
    issuer = auth.web.oidc.issuer
    answer = page(
        request, "login", status_code=status_code, now=time_of(request), headline=headline,
        remedy=remedy, user=name, wanted=local_path(wanted),
        provider=urlsplit(issuer).netloc, open=not auth.offers_login(),
        passwords=_have_passwords(auth),
    )  # fmt: skip
    if request.htmx and status_code == 401:
        answer.headers["HX-Refresh"] = "true"
    return answer


def wanted_path(request: SiteRequest) -> str:
    """Return the path and the query of a request, as a browser has them in its URL."""
    path, query = request.scope["path"], request.scope["query_string"].decode("latin-1")
    return quote(path, safe="/:@!$&'()*+,;=~") + (f"?{query}" if query else "")


def logged_in(
    request: SiteRequest,
    identity: Identity,
    subject: str,
    wanted: str,
    extra: tuple[Cookie, ...] = (),
) -> Response[str]:
    """Begin a session, and go to the page that was wanted."""
    auth = _auth(request)
    auth.sessions.end(request.cookies.get(SESSION_COOKIE, ""))
    token = auth.sessions.start(
        identity.kind, identity.name, subject, identity.role, auth.address(request),
        datetime.now(UTC),
    )  # fmt: skip
    request.scope["state"]["hoursight_identity"] = identity
    noted(request, "login")
    cookie = Cookie(
        SESSION_COOKIE, value=token, httponly=True, samesite="lax", secure=is_https(request),
        max_age=int(parse_period(auth.web.sessions.longest).total_seconds()),
    )  # fmt: skip
    return Redirect(local_path(wanted), status_code=303, cookies=[cookie, *extra])


async def _proven(request: SiteRequest, name: str, password: str, by_key: bool) -> Proof | str:
    """Return whose name and password or key these are, or why nobody's."""
    auth = _auth(request)
    if by_key:
        key = auth.keys.find(password)
        if key is None:
            return "the API key is unknown or was revoked"
        if not includes(key.scopes, "read"):
            return f"the key {key.name!r} has the scope {' and '.join(key.scopes)} only"
        return Proof(Identity.of_key(key, ambient=True), key.id)
    async with request.app.state.logins.turns.turn():
        user = await asyncio.to_thread(auth.users.verified, name, password)
    return WRONG if user is None else Proof(Identity.of_role("user", name, user.role), user.version)


def _too_many(
    request: SiteRequest, account: str, name: str, wanted: str, wait: timedelta
) -> Response[str]:
    noted(request, "login", actor=account or "nobody", error="too many failed logins")
    minutes = -(-int(wait.total_seconds()) // 60) or 1
    answer = login_answer(
        request, 429, "too many failed logins", f"try again in {minutes} min", name, wanted
    )
    answer.headers["Retry-After"] = str(max(1, int(wait.total_seconds())))
    return answer


def _fields(body: bytes) -> dict[str, str]:
    """Return the fields of a form. Raises a rejection for what is none."""
    try:
        fields = parse_qs(body.decode("ascii"), max_num_fields=MAX_FIELDS, errors="strict")
    except ValueError as error:  # other bytes, or too many fields
        raise HttpRejection(
            400, "the form cannot be read", "send name, password and next as a form"
        ) from error
    return {key: values[0][:MAX_FIELD] for key, values in fields.items()}


def _have_passwords(auth: Auth) -> bool:
    try:
        return auth.users.required() or auth.keys.required()
    except (UserError, ApiKeyError):
        return True


def is_https(request: SiteRequest) -> bool:
    """Return True if the browser speaks TLS: to this site, or to the proxy in front of it."""
    stated = request.headers.get("x-forwarded-proto", "").partition(",")[0].strip()
    origin = request.headers.get("origin", "")
    return "https" in (request.scope["scheme"], stated) or origin.startswith("https:")


def _auth(request: SiteRequest) -> Auth:
    auth: Auth = request.app.state.auth
    return auth
