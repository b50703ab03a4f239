"""What a person does on the page of a server: answer an alert, silence it, mark a deployment."""

from typing import Any

from litestar import Response, post
from litestar.params import FromPath

from web.actions import act, actor_of, back_to
from web.auth import OPERATE
from web.operations import PAGE, answering
from web.pages.alerts_page import form_of
from web.rendering import SiteRequest, TheLake, server_path

__all__ = ["act_on_server"]

# What is done, and what the page then says.
DONE = {
    "acknowledged": "Acknowledged. It will not escalate.",
    "acting": "Noted: you act on it. If no breach follows, it counts as averted.",
    "silence": "Silenced: nothing is sent about this server.",
    "unsilence": "The silences of this server have ended.",
    "deploy": "The deployment is marked.",
}
OF_EPISODES = ("acknowledged", "acting")


@post(
    "/servers/{server:path}", status_code=303, summary="Answer, silence or mark a deployment",
    opt=OPERATE, operation_class=answering(PAGE),
)  # fmt: skip
async def act_on_server(
    request: SiteRequest, lake: TheLake, server: FromPath[str]
) -> Response[Any]:
    """Fields of the form: `do` (acknowledged, acting, silence, unsilence or deploy), and with it
    `episode`, `lasts` and `note`. The answer opens the page of the server, which says what came.
    """
    name, fields = server.removeprefix("/"), await form_of(request)
    did, page = fields.get("do", ""), server_path(name)
    if did not in DONE:
        return back_to(page, f"do is {did[:40]!r}, expected one of {', '.join(DONE)}", failed=True)
    outcome = await act(request, lake, "mark", _mark(did, name, fields, actor_of(request)))
    if outcome.failed:
        return back_to(page, f"Not done: {outcome.error}", failed=True)
    return back_to(page, DONE[did])


def _mark(did: str, server: str, fields: dict[str, str], actor: str) -> dict[str, Any]:
    """Return the body of a mark: of an episode, or of the server itself."""
    target = {"episode": fields.get("episode", "")} if did in OF_EPISODES else {"server": server}
    more = {key: fields[key] for key in ("lasts", "note") if fields.get(key)}
    return {"kind": did, "made_by": actor} | target | more
