"""OpenID Connect: login at a provider, by the authorization code flow with PKCE.

The provider's metadata and keys are fetched when they are needed; state, nonce and PKCE verifier of
a login wait here for the browser's return.
"""

import secrets
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from storage.config.web_settings import OidcSettings
from storage.errors import HoursightError

__all__ = ["LoginFlow", "OidcFailed", "OidcLogins", "OidcProvider"]

TIMEOUT_S, METADATA_S, LEEWAY_S = 10.0, 3600.0, 60
# Only signatures by keys that the provider alone has: not `none`, and not by the shared secret.
ALGORITHMS = (
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
)  # fmt: skip
NEEDED = ("authorization_endpoint", "token_endpoint", "jwks_uri")
MAX_FLOWS, FLOW_S = 1000, 600.0


class OidcFailed(HoursightError):
    """A login at the provider did not succeed; the message says why, the remedy what to do."""


@dataclass(frozen=True, slots=True)
class LoginFlow:
    """A login that has begun: what the provider's answer must refer to, and the page wanted."""

    state: str
    nonce: str
    verifier: str
    redirect_url: str
    wanted: str
    began: float


class OidcLogins:
    """Logins that wait for the browser's return, by the token in its cookie."""

    def __init__(self) -> None:
        self._flows: dict[str, LoginFlow] = {}

    def begin(self, redirect_url: str, wanted: str) -> tuple[str, LoginFlow]:
        """Begin a login; return the cookie's token and the flow. The oldest ones are dropped."""
        token, flow = secrets.token_urlsafe(24), LoginFlow(
            secrets.token_urlsafe(24), secrets.token_urlsafe(24), secrets.token_urlsafe(48),
            redirect_url, wanted, time.monotonic(),
        )  # fmt: skip
        self._flows[token] = flow
        while len(self._flows) > MAX_FLOWS:
            del self._flows[next(iter(self._flows))]
        return token, flow

    def finish(self, token: str, state: str) -> LoginFlow:
        """Return the flow of a browser, once. Raises OidcFailed."""
        flow = self._flows.pop(token, None)
        if flow is None or time.monotonic() - flow.began > FLOW_S:
            raise OidcFailed(
                "this login took too long, or began in another browser", "log in again"
            )
        if not secrets.compare_digest(flow.state.encode(), state.encode(errors="replace")):
            raise OidcFailed("the provider's answer belongs to another login", "log in again")
        return flow


class OidcProvider:
    """The provider of the settings. Its methods raise OidcFailed."""

    def __init__(self, settings: OidcSettings) -> None:
        self._settings = settings
        self._metadata: dict[str, Any] = {}
        self._keys: dict[str, Any] = {}
        self._fetched_at = float("-inf")

    async def login_url(self, flow: LoginFlow) -> str:
        """Return where the browser logs in."""
        metadata = await self._current()
        async with self._client(flow) as client:
            url, _ = client.create_authorization_url(
                metadata["authorization_endpoint"], state=flow.state, nonce=flow.nonce,
                code_verifier=flow.verifier,
            )  # fmt: skip
        return str(url)

    async def claims(self, flow: LoginFlow, code: str) -> Mapping[str, Any]:
        """Return the verified claims of the ID token for the code that the browser brought."""
        from authlib.common.errors import AuthlibBaseError

        metadata = await self._current()
        try:
            async with self._client(flow) as client:
                answer = await client.fetch_token(
                    metadata["token_endpoint"], code=code, code_verifier=flow.verifier
                )
        except (httpx.HTTPError, AuthlibBaseError, ValueError) as error:
            raise OidcFailed(f"the provider gave no token: {error}", "log in again") from error
        token = answer.get("id_token")
        if not isinstance(token, str):
            raise OidcFailed("the provider gave no ID token", "add the scope 'openid' there")
        return await self._verified(token, flow.nonce, str(answer.get("access_token") or ""))

    def name_in(self, claims: Mapping[str, Any]) -> str:
        """Return the name of the person: the claim of the settings, else e-mail or subject."""
        for claim in (self._settings.name_claim, "email", "sub"):
            if text := str(claims.get(claim) or "").strip():
                return "".join(c if c.isprintable() else "?" for c in text)[:64]
        return "somebody"

    async def _verified(self, token: str, nonce: str, access_token: str) -> Mapping[str, Any]:
        from authlib.oidc.core import CodeIDToken
        from joserfc.errors import InvalidKeyIdError, JoseError

        try:
            try:
                decoded = self._decoded(token)
            except InvalidKeyIdError:  # the provider has changed its keys
                await self._fetch_keys()
                decoded = self._decoded(token)
            claims = CodeIDToken(
                decoded.claims, decoded.header,
                {
                    "iss": {"essential": True, "value": self._metadata["issuer"]},
                    "aud": {"essential": True, "value": self._settings.client_id},
                },
                {
                    "nonce": nonce, "client_id": self._settings.client_id,
                    "access_token": access_token,
                },
            )  # fmt: skip
            claims.validate(leeway=LEEWAY_S)
        except (JoseError, ValueError) as error:
            raise OidcFailed(f"the provider's ID token is not valid: {error}") from error
        return dict(claims)

    def _decoded(self, token: str) -> Any:
        from joserfc import jwt
        from joserfc.jwk import KeySet
        from joserfc.jws import JWSRegistry

        registry = JWSRegistry(algorithms=list(ALGORITHMS), strict_check_header=False)
        return jwt.decode(token, key=KeySet.import_key_set(self._keys), registry=registry)  # type: ignore[arg-type]

    async def _current(self) -> dict[str, Any]:
        """The provider's metadata, fetched again once an hour, and with them its keys."""
        if time.monotonic() - self._fetched_at > METADATA_S:
            issuer = self._settings.issuer.rstrip("/")
            metadata = await self._fetch(f"{issuer}/.well-known/openid-configuration")
            stated = str(metadata.get("issuer", ""))
            if stated.rstrip("/") != issuer:
                raise OidcFailed(
                    f"the provider calls itself {stated!r}", "set web.oidc.issuer to that name"
                )
            if missing := [name for name in NEEDED if not isinstance(metadata.get(name), str)]:
                raise OidcFailed(f"the provider's metadata lack {', '.join(missing)}")
            self._metadata = metadata
            await self._fetch_keys()
            self._fetched_at = time.monotonic()
        return self._metadata

    async def _fetch_keys(self) -> None:
        self._keys = await self._fetch(self._metadata["jwks_uri"])

    async def _fetch(self, url: str) -> dict[str, Any]:
        try:
            async with httpx.AsyncClient(timeout=TIMEOUT_S) as client:
                answer = await client.get(url)
            answer.raise_for_status()
            fetched = answer.json()
        except (httpx.HTTPError, ValueError) as error:
            raise OidcFailed(
                f"{url} cannot be read: {error or type(error).__name__}",
                "check web.oidc.issuer, and whether this machine reaches the provider",
            ) from error
        if not isinstance(fetched, dict):
            raise OidcFailed(f"{url} has no JSON object", "check web.oidc.issuer")
        return fetched

    def _client(self, flow: LoginFlow) -> Any:
        try:
            with warnings.catch_warnings(action="ignore"):  # Authlib would have httpx2
                from authlib.integrations.httpx_client import AsyncOAuth2Client
        except ImportError as error:
            raise OidcFailed(
                "web.oidc needs Authlib, which is not installed", "pip install 'hoursight[oidc]'"
            ) from error
        return AsyncOAuth2Client(
            self._settings.client_id, self._secret(), scope=self._settings.scopes,
            redirect_uri=flow.redirect_url, code_challenge_method="S256", timeout=TIMEOUT_S,
        )  # fmt: skip

    def _secret(self) -> str:
        path = Path(self._settings.client_secret_file)
        try:
            return path.read_text().strip()
        except (OSError, ValueError) as error:
            raise OidcFailed(
                "the file of web.oidc.client_secret_file cannot be read",
                "give this user read permission, or correct the path",
            ) from error
