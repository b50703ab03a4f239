"""The routes of the site: paths, methods and the scope that each requires."""

from litestar.handlers import HTTPRouteHandler
from litestar.routes import HTTPRoute

from tests.web.conftest import Client

ROUTES = {
    "GET /": "read", "GET /fleet.json": "read", "GET /fleet.csv": "read",
    "GET /fleet.parquet": "read", "GET /servers/{server}": "read", "GET /charts/{server}": "read",
    "POST /servers/{server}": "operate",
    "GET /sources": "read", "GET /sources.json": "read", "GET /sources.csv": "read",
    "GET /sources.parquet": "read", "GET /sources.arrow": "read", "GET /fleet.arrow": "read",
    "GET /sql": "read", "GET /sql.json": "read", "GET /sql.csv": "read",
    "GET /sql.parquet": "read", "GET /sql.arrow": "read", "GET /api/v1/sql": "read",
    "POST /mcp": "read", "POST /api/v1/sql": "read", "POST /sql/saved": "operate",
    "POST /sql/saved/remove": "operate",
    "GET /settings": "read", "GET /live": "read",
    "GET /status.json": "read", "GET /metrics": "read", "GET /healthz": None, "GET /readyz": None,
    "POST /feed": "feed", "POST /feed/data": "feed", "POST /write": "feed",
    "POST /api/v1/write": "feed", "POST /api/v2/write": "feed",
    "POST /api/v1/functions/{name}": "admin", "POST /api/v1/marks": "mark",
    "GET /login": None, "POST /login": None, "POST /logout": None,
    "GET /status": "read", "GET /api/v1/status": "read", "GET /api/v1/alerts/active": "read",
    "GET /predictions/current": "read", "GET /api/v1/predictions/current": "read",
    "GET /predict/{server}": "read", "GET /api/v1/predict/{server}": "read",
    "GET /explain/{server}": "read", "GET /api/v1/explain/{server}": "read",
    "GET /alerts.arrow": "read", "GET /api/v1/query": "read", "POST /api/v1/query": "read",
    "GET /api/v1/query_range": "read", "POST /api/v1/query_range": "read",
    "GET /api/v1/labels": "read", "POST /api/v1/labels": "read",
    "GET /api/v1/label/{name}/values": "read", "GET /api/v1/series": "read",
    "POST /api/v1/series": "read", "GET /api/v1/metadata": "read",
    "GET /api/v1/status/buildinfo": "read", "GET /api/v1/alerts": "read",
    "GET /api/v1/rules/{rest}": "read", "GET /api/v1/rules": "read",
    "GET /login/oidc": None, "GET /login/oidc/return": None,
    "GET /act/{token}": None, "POST /act/{token}/{act}": None,
    "GET /alerts": "read", "GET /alerts.json": "read", "GET /alerts.csv": "read",
    "GET /alerts.parquet": "read", "GET /alerts/active": "read", "GET /alerts/{episode}": "read",
    "POST /alerts/{episode}/{answer}": "operate", "POST /alerts/{episode}/message": "operate",
    "GET /alerts/rules": "read", "POST /alerts/rules/try": "operate",
    "POST /alerts/rules/silence": "operate",
    "GET /trust": "read", "GET /trust/report": "read", "GET /trust/report.html": "read",
    "POST /trust/models": "admin",
    "GET /static": None, "GET /schema": "read", "GET /schema/openapi.json": "read",
    "GET /schema/{path}": "read",
}  # fmt: skip


def served(client: Client) -> dict[str, str | None]:
    """Each method and path of the application with the scope of its handler."""
    scopes = {}
    for route in client.app.routes:
        assert isinstance(route, HTTPRoute)
        path = route.path.replace(":path", "").replace(":str", "")
        for handler in route.route_handlers:
            assert isinstance(handler, HTTPRouteHandler)
            for method in set(handler.http_methods) - {"OPTIONS", "HEAD"}:
                scopes[f"{method} {path}"] = handler.opt.get("scope", "read")
    return scopes


def test_these_are_all_routes_and_their_scopes(client: Client) -> None:
    routes = {name.replace("/{file_path}", ""): scope for name, scope in served(client).items()}
    assert routes == ROUTES


def test_another_method_is_405_with_the_allowed_ones(client: Client) -> None:
    answer = client.put("/feed")
    assert answer.status_code == 405
    assert "POST" in answer.headers["allow"]
