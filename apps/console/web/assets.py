"""The stylesheet and the script, one of each: put together once at the start and named
by their hash.
"""

import gzip
import hashlib
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from apps.kit.errors import NotFound
from apps.kit.web import PUBLIC, Operation, PolicedRoute

FOLDER = Path(__file__).parents[1] / "static"
STYLES = ("pico.min.css", "console.css")
SCRIPTS = ("htmx.min.js", "console.js")
CACHE = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class Asset:
    """A file as it is sent, plain and compressed."""

    media_type: str
    content: bytes
    compressed: bytes


def _join(names: tuple[str, ...], media_type: str) -> Asset:
    content = b"\n".join((FOLDER / name).read_bytes() for name in names)
    return Asset(media_type, content, gzip.compress(content, mtime=0))


def _name(asset: Asset, suffix: str) -> str:
    return f"{hashlib.sha256(asset.content).hexdigest()[:16]}.{suffix}"


_STYLE = _join(STYLES, "text/css")
_SCRIPT = _join(SCRIPTS, "text/javascript")
_ICON = Asset("image/svg+xml", (FOLDER / "icon.svg").read_bytes(), b"")
STYLE_PATH = "/static/" + _name(_STYLE, "css")
SCRIPT_PATH = "/static/" + _name(_SCRIPT, "js")
ICON_PATH = "/static/" + _name(_ICON, "svg")
_ASSETS = {STYLE_PATH: _STYLE, SCRIPT_PATH: _SCRIPT, ICON_PATH: _ICON}


async def show_asset(request: Request) -> Response:
    """Answers one of the assets; an unknown name is 404."""
    asset = _ASSETS.get(request.url.path)
    if asset is None:
        raise NotFound("not_found")
    headers = {
        "Cache-Control": CACHE,
        "Vary": "Accept-Encoding",
        "X-Content-Type-Options": "nosniff",
    }
    if asset.compressed and "gzip" in request.headers.get("accept-encoding", ""):
        headers["Content-Encoding"] = "gzip"
        return Response(asset.compressed, headers=headers, media_type=asset.media_type)
    return Response(asset.content, headers=headers, media_type=asset.media_type)


def asset_routes() -> list[PolicedRoute]:
    """Gives the assets' route: public, they say nothing about anybody."""
    return [PolicedRoute("/static/{name}", Operation("GET", show_asset, PUBLIC))]
