"""Settings of the site: where it listens, under which prefix, and who may log in how."""

import ipaddress
import re
from typing import Any

import msgspec

from storage.config.users import ROLES
from storage.model.periods import parse_period

__all__ = ["OidcSettings", "ProxySettings", "RoleSettings", "SessionSettings", "WebSettings"]

PREFIX = re.compile(r"(/[A-Za-z0-9._~-]+)+")
HEADER = re.compile(r"[A-Za-z0-9-]+")
LONGEST = "365d"


class SessionSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long somebody stays logged in: without a request (`idle`), and at most (`longest`)."""

    idle: str = "12h"
    longest: str = "7d"

    def __post_init__(self) -> None:
        for key in ("idle", "longest"):
            try:
                fits = (
                    parse_period("1m") <= parse_period(getattr(self, key)) <= parse_period(LONGEST)
                )
            except (ValueError, OverflowError):
                fits = False
            if not fits:
                raise ValueError(
                    f"{key} is {getattr(self, key)!r}, expected 1m to {LONGEST}, for example '12h'"
                )


class RoleSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which role somebody has whom another system knows.

    `roles` maps that system's groups to roles, and the highest one counts; `default_role` is the
    role of those without such a group, empty: none.
    """

    roles: dict[str, str] = {}
    default_role: str = ""

    def __post_init__(self) -> None:
        for key, role in {**{f"roles.{k}": v for k, v in self.roles.items()},
                          "default_role": self.default_role or "viewer"}.items():  # fmt: skip
            if role not in ROLES:
                raise ValueError(f"{key} is {role!r}, expected one of {', '.join(ROLES)}")

    def role_of(self, groups: Any) -> str:
        """Return the highest role of these groups (a text or a list of them); empty: none."""
        names = [groups] if isinstance(groups, str) else groups
        if not isinstance(names, list | tuple):
            names = []
        granted = {self.roles.get(str(name)) for name in names} | {self.default_role}
        return next((role for role in reversed(ROLES) if role in granted), "")


class ProxySettings(RoleSettings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A reverse proxy that has checked who somebody is, and says so in `user_header`.

    Only requests from `addresses` (addresses or networks) are believed; without any, none is.
    `role_header` has groups, separated by commas.
    """

    addresses: list[str] = []
    user_header: str = "Remote-User"
    role_header: str = "Remote-Groups"

    def __post_init__(self) -> None:
        super().__post_init__()
        for each in self.addresses:
            try:
                ipaddress.ip_network(each)
            except ValueError:
                raise ValueError(
                    f"addresses has {each!r}, expected an address or a network, for example "
                    "'10.0.0.0/24'"
                ) from None
        for key in ("user_header", "role_header"):
            if not HEADER.fullmatch(getattr(self, key)):
                raise ValueError(
                    f"{key} is {getattr(self, key)!r}, expected a name such as 'Remote-User'"
                )

    def trusts(self, address: str) -> bool:
        """Return True if a request from this address is the proxy's."""
        try:
            peer = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return False
        mapped = getattr(peer, "ipv4_mapped", None) or peer
        return any(mapped in ipaddress.ip_network(each) for each in self.addresses)


class OidcSettings(RoleSettings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An OpenID Connect provider at which people log in; without an `issuer`, there is none.

    The name is the claim `name_claim`, the groups are the claim `role_claim` of the ID token.
    `redirect_url` is where the provider sends people back; empty: as the browser calls this site.
    """

    issuer: str = ""
    client_id: str = ""
    client_secret_file: str = ""
    scopes: str = "openid profile email"
    name_claim: str = "preferred_username"
    role_claim: str = "groups"
    redirect_url: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.issuer or self.client_id or self.client_secret_file:
            self._check()

    def _check(self) -> None:
        local = self.issuer.startswith(("http://127.0.0.1", "http://localhost", "http://[::1]"))
        if not (self.issuer.startswith("https://") or local):
            raise ValueError(
                f"issuer is {self.issuer!r}, expected an https:// URL such as "
                "'https://login.example/realms/ops'"
            )
        if not self.client_id:
            raise ValueError("client_id is missing, expected the name of this site at the issuer")
        if not self.client_secret_file.startswith("/"):
            raise ValueError(
                f"client_secret_file is {self.client_secret_file!r}, expected an absolute path"
            )
        if "openid" not in self.scopes.split():
            raise ValueError(f"scopes is {self.scopes!r}, expected 'openid' and others")


class WebSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The address at which the site listens, and who may log in how.

    `prefix` is the path under which a reverse proxy serves the site. `read_without_key` lets this
    machine read without a key although keys exist.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    read_without_key: bool = False
    prefix: str = ""
    sessions: SessionSettings = SessionSettings()
    proxy: ProxySettings = ProxySettings()
    oidc: OidcSettings = OidcSettings()

    def __post_init__(self) -> None:
        if not 0 < self.port < 65536:
            raise ValueError(f"port is {self.port}, expected 1 to 65535")
        if self.prefix and not PREFIX.fullmatch(self.prefix):
            raise ValueError(
                f"prefix is {self.prefix!r}, expected a path such as '/hoursight', without a slash "
                "at its end"
            )

    @property
    def knows_people(self) -> bool:
        """Whether another system says who somebody is: a provider, or a proxy."""
        return bool(self.oidc.issuer or self.proxy.addresses)
