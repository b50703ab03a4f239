"""A double of an OpenID Connect provider, on a real socket: discovery, keys, codes and tokens.

It checks what providers check: client and secret, redirect URL, PKCE, and that a code comes once.
"""

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from joserfc import jwt
from joserfc.jwk import ECKey, OctKey

__all__ = ["CLIENT", "SECRET", "ProviderDouble", "provider_double"]

CLIENT, SECRET = "hoursight", "a secret of the client"


class ProviderDouble:
    """The provider; `claims` go into each ID token, over what belongs there."""

    def __init__(self, issuer: str) -> None:
        self.issuer = issuer
        self.key = ECKey.generate_key("P-256", {"kid": "1"})
        self.signs_with: Any = self.key
        self.header: dict[str, Any] = {"alg": "ES256", "kid": "1"}
        self.claims: dict[str, Any] = {"preferred_username": "ann", "groups": ["ops"]}
        self._codes: dict[str, dict[str, str]] = {}

    def authorize(self, url: str) -> dict[str, str]:
        """Log the person in: return the parameters with which the browser is sent back."""
        query = {key: values[0] for key, values in parse_qs(urlsplit(url).query).items()}
        assert query["client_id"] == CLIENT
        assert query["response_type"] == "code"
        assert query["code_challenge_method"] == "S256"
        code = secrets.token_urlsafe(8)
        self._codes[code] = query
        return {"code": code, "state": query["state"]}

    def answer(self, path: str) -> dict[str, Any] | None:
        """What a GET of `path` returns."""
        if path == "/.well-known/openid-configuration":
            return {
                "issuer": self.issuer, "jwks_uri": f"{self.issuer}/keys",
                "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token",
            }  # fmt: skip
        return {"keys": [self.key.as_dict(private=False)]} if path == "/keys" else None

    def token(self, form: dict[str, str], authorization: str) -> tuple[int, dict[str, Any]]:
        """What a POST of a code returns."""
        expected = base64.b64encode(f"{CLIENT}:{SECRET.replace(' ', '%20')}".encode()).decode()
        plain = base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
        asked = self._codes.pop(form.get("code", ""), None)
        if authorization.removeprefix("Basic ") not in (expected, plain):
            return 401, {"error": "invalid_client"}
        if asked is None or form.get("redirect_uri") != asked["redirect_uri"]:
            return 400, {"error": "invalid_grant"}
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != asked["code_challenge"]:
            return 400, {"error": "invalid_grant"}
        return 200, {
            "access_token": "opaque", "token_type": "Bearer", "id_token": self._id_token(asked),
        }  # fmt: skip

    def _id_token(self, asked: dict[str, str]) -> str:
        now = int(time.time())
        claims = {
            "iss": self.issuer, "aud": CLIENT, "sub": "7", "iat": now, "exp": now + 300,
            "nonce": asked["nonce"], **self.claims,
        }  # fmt: skip
        if self.header["alg"] == "none":
            parts = (json.dumps(each).encode() for each in (self.header, claims))
            return ".".join(base64.urlsafe_b64encode(p).rstrip(b"=").decode() for p in parts) + "."
        return jwt.encode(self.header, claims, self.signs_with, algorithms=[self.header["alg"]])


def other_key() -> ECKey:
    """A key that the provider does not have."""
    return ECKey.generate_key("P-256", {"kid": "1"})


def shared_key() -> OctKey:
    """A key made of what the client knows as well."""
    return OctKey.import_key(SECRET * 2)


@contextmanager
def provider_double() -> Iterator[ProviderDouble]:
    """Serve a double within the context."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = double.answer(self.path)
            self._send(200 if body else 404, body or {})

        def do_POST(self) -> None:
            text = self.rfile.read(int(self.headers["Content-Length"])).decode()
            form = {key: values[0] for key, values in parse_qs(text).items()}
            self._send(*double.token(form, self.headers.get("Authorization", "")))

        def _send(self, status: int, body: dict[str, Any]) -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        double = ProviderDouble(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield double
        finally:
            server.shutdown()
            thread.join()
