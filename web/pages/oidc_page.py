"""Login at an OpenID Connect provider: the way there, and the way back."""

from litestar import Response, get
from litestar.datastructures import Cookie
from litestar.exceptions import NotFoundException
from litestar.params import FromQuery
from litestar.response import Redirect

from web.actions import local_path
from web.audit import noted
from web.auth import OPEN, Auth
from web.identity import Identity
from web.oidc import OidcFailed, OidcLogins, OidcProvider
from web.operations import PAGE, answering
from web.pages.login_page import is_https, logged_in, login_answer
from web.rendering import SiteRequest, public_path

__all__ = ["oidc_begin", "oidc_return"]

FLOW_COOKIE, FLOW_S = "hoursight_login", 600
RETURN = "/login/oidc/return"


@get(
    "/login/oidc", summary="Log in at the OpenID Connect provider", opt=OPEN, status_code=303,
    operation_class=answering(PAGE),
)  # fmt: skip
async def oidc_begin(request: SiteRequest, next: FromQuery[str] = "/") -> Response[str]:  # noqa: A002 - in URLs
    """Redirect to the provider; `next` is the page of this site to which the login leads."""
    logins, provider = _parts(request)
    token, flow = logins.begin(_return_url(request), local_path(next))
    try:
        url = await provider.login_url(flow)
    except OidcFailed as error:
        return login_answer(request, 503, error.message, error.remedy or "", wanted=next)
    cookie = Cookie(
        FLOW_COOKIE, value=token, httponly=True, samesite="lax", secure=is_https(request),
        max_age=FLOW_S,
    )  # fmt: skip
    return Redirect(url, status_code=303, cookies=[cookie])


@get(
    RETURN, summary="Return from the OpenID Connect provider", opt=OPEN, status_code=303,
    operation_class=answering(PAGE),
)  # fmt: skip
async def oidc_return(
    request: SiteRequest,
    code: FromQuery[str] = "",
    error: FromQuery[str] = "",
) -> Response[str]:
    """Check the provider's answer and begin a session. 403: it is not valid, or without a role."""
    logins, provider = _parts(request)
    settings = _auth(request).web.oidc
    try:
        state = request.query_params.get("state", "")  # as an argument Litestar keeps it for itself
        flow = logins.finish(request.cookies.get(FLOW_COOKIE, ""), state)
        if error or not code:
            raise OidcFailed(f"the provider refused the login: {error[:100]}", "log in again")
        claims = await provider.claims(flow, code)
    except OidcFailed as failed:
        noted(request, "login", actor="nobody", shown_by="oidc", error=failed.message)
        return login_answer(request, 403, failed.message, failed.remedy or "")
    name, role = provider.name_in(claims), settings.role_of(claims.get(settings.role_claim))
    if not role:
        message = f"{name} has no role on this site"
        noted(request, "login", actor=name, shown_by="oidc", error=message)
        remedy = "an admin gives one by a group in [web.oidc.roles], or by default_role"
        return login_answer(request, 403, message, remedy)
    gone = Cookie(FLOW_COOKIE, value="", max_age=0, httponly=True, samesite="lax")
    identity = Identity.of_role("oidc", name, role)
    return logged_in(request, identity, settings.issuer, flow.wanted, (gone,))


def _parts(request: SiteRequest) -> tuple[OidcLogins, OidcProvider]:
    if not _auth(request).web.oidc.issuer:
        raise NotFoundException
    parts: tuple[OidcLogins, OidcProvider] = request.app.state.oidc
    return parts


def _return_url(request: SiteRequest) -> str:
    """Where the provider sends the browser back: by the settings, else as the browser sees us."""
    if stated := _auth(request).web.oidc.redirect_url:
        return stated
    scheme = "https" if is_https(request) else "http"
    return f"{scheme}://{request.headers.get('host', '')}{public_path(request, RETURN)}"


def _auth(request: SiteRequest) -> Auth:
    auth: Auth = request.app.state.auth
    return auth
