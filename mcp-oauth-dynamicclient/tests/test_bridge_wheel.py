"""The bridge's wheel: that one file, and the line that installs it."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from mcp_oauth_dynamicclient import pages
from mcp_oauth_dynamicclient.bridge_wheel import FROM_PYPI, NOT_OLDER, install_line
from mcp_oauth_dynamicclient.errors import SettingsError
from mcp_oauth_dynamicclient.settings import Settings

from .support import App

NAME = "mcp_streamablehttp_client-0.3.0-py3-none-any.whl"
CONTENT = b"PK\x03\x04 what a wheel holds"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
TIME = "http://localhost:8080/time/mcp"

MakeApp = Callable[..., Awaitable[App]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "wheels"
    found.mkdir()
    (found / NAME).write_bytes(CONTENT)
    return found


def shown(app: App) -> str:
    return bytes(pages.server_page(app.ctx, TIME).body).decode()


async def test_the_wheel_is_served_as_a_file_that_is_asked_about_again(
    make_app: MakeApp, folder: Path
) -> None:
    app = await make_app(wheel_folder=folder)
    response = await app.http.get(f"/wheels/{NAME}")
    assert (response.status_code, response.content) == (200, CONTENT)
    assert response.headers["content-type"] == "application/octet-stream"
    assert response.headers["cache-control"] == "no-cache"
    assert response.headers["x-content-type-options"] == "nosniff"
    again = await app.http.get(f"/wheels/{NAME}", headers={"if-none-match": response.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    head = await app.http.head(f"/wheels/{NAME}")
    assert (head.status_code, head.headers["content-length"]) == (200, str(len(CONTENT)))


@pytest.mark.parametrize(
    "path", ["", "/", "/other.whl", "/../auth.db", "/%2e%2e/secret", f"/x/{NAME}", f"/{NAME}/"]
)
async def test_nothing_else_of_its_folder_is_served(make_app: MakeApp, folder: Path, path: str) -> None:
    (folder / "other.whl").write_bytes(b"x")
    (folder.parent / "secret").write_bytes(b"x")
    app = await make_app(wheel_folder=folder)
    assert (await app.http.get(f"/wheels{path}")).status_code == 404


async def test_without_a_wheel_there_is_none_and_an_older_program_is_not_installed(app: App) -> None:
    assert (await app.http.get(f"/wheels/{NAME}")).status_code == 404
    assert install_line(app.ctx.settings, app.ctx.bridge_wheel) == NOT_OLDER
    assert NOT_OLDER.endswith('>=0.3.0"')


@pytest.mark.parametrize(
    ("address", "issuer"),
    [({}, "http://localhost:8080"), ({"base_domain": "example.com"}, "https://auth.example.com")],
)
async def test_a_servers_page_shows_the_line_with_the_hash(
    make_app: MakeApp, folder: Path, address: dict[str, str], issuer: str
) -> None:
    app = await make_app(wheel_folder=folder, **address)
    line = install_line(app.ctx.settings, app.ctx.bridge_wheel)
    assert line == f'pip install "{issuer}/wheels/{NAME}#sha256={SHA256}"'
    assert f"{issuer}/wheels/{NAME}#sha256={SHA256}" in shown(app)
    assert (await app.http.get(f"{issuer}/wheels/{NAME}")).content == CONTENT


async def test_one_switch_turns_the_line_over_to_pypi(make_app: MakeApp, folder: Path) -> None:
    app = await make_app(wheel_folder=folder, bridge_on_pypi=True)
    assert (
        install_line(app.ctx.settings, app.ctx.bridge_wheel)
        == FROM_PYPI
        == "pip install mcp-streamablehttp-client"
    )
    assert FROM_PYPI in shown(app)
    assert "/wheels/" not in shown(app)


@pytest.mark.parametrize(
    "names",
    [
        [],
        ["mcp_streamablehttp_client.whl"],
        ["other-0.3.0-py3-none-any.whl"],
        [NAME, NAME.replace("0.3.0", "0.3.1")],
    ],
)
def test_a_folder_without_the_one_wheel_is_refused_in_a_line(
    make_settings: Callable[..., Settings], tmp_path: Path, names: list[str]
) -> None:
    for name in names:
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(SettingsError, match=r"^WHEEL_FOLDER: must be a folder with one wheel of [^\n]+$"):
        make_settings(wheel_folder=str(tmp_path))
