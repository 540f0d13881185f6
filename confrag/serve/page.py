"""The web page: the files of `confrag/serve/web`, held in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from fastapi import APIRouter, HTTPException, Request, Response

__all__ = ["PageFile", "router", "web_files"]

_INDEX = "index.html"
_SERVED = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_CHECKED_EACH_TIME = "no-cache"
_FOREVER = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class PageFile:
    """A file of the page.

    Attributes:
        etag: of its content, in quotes.
    """

    content: bytes
    media_type: str
    etag: str


def web_files() -> Mapping[str, PageFile]:
    """The files of the page by their paths: ``js/main.js``.

    What is asked for is looked up among these, so that no path leads out of the folder.
    """
    found = dict(_read(Path(__file__).parent / "web"))
    version = _digest(b"".join(f"{path} {file.etag}".encode() for path, file in found.items()))
    # Named in the page, all modules are fetched at once; else the browser would find one in the other.
    modules = [f'<link rel="modulepreload" href="/web/{path}">' for path in found if path.startswith("js/")]
    page = found[_INDEX].content.replace(b"</head>", "\n".join([*modules, "</head>"]).encode())
    # Scripts import each other by relative paths: with the version in the first one's address, it is in all of them.
    index = page.replace(b'"/web/', f'"/web/{version}/'.encode())
    versioned = {f"{version}/{path}": file for path, file in found.items()}
    return {**found, **versioned, _INDEX: PageFile(index, found[_INDEX].media_type, f'"{_digest(index)}"')}


def router() -> APIRouter:
    """The page at ``/`` and its files below ``/web``, open to everybody: they hold no data."""
    held = web_files()
    routes = APIRouter(include_in_schema=False)

    @routes.api_route("/", methods=["GET", "HEAD"])
    def page(request: Request) -> Response:
        return _answer(request, held[_INDEX], _CHECKED_EACH_TIME)

    @routes.api_route("/web/{path:path}", methods=["GET", "HEAD"])
    def file(request: Request, path: str) -> Response:
        if path not in held:
            raise HTTPException(404, f"the page has no file '{path}'")
        # An address with the version of the page never shows anything else.
        return _answer(request, held[path], _FOREVER if path.partition("/")[2] in held else _CHECKED_EACH_TIME)

    return routes


def _answer(request: Request, file: PageFile, caching: str) -> Response:
    headers = {"ETag": file.etag, "Cache-Control": caching}
    known = [tag.strip().removeprefix("W/") for tag in request.headers.get("If-None-Match", "").split(",")]
    if file.etag in known:
        return Response(status_code=304, headers=headers)
    return Response(file.content, media_type=file.media_type, headers=headers)


def _read(folder: Path) -> Iterator[tuple[str, PageFile]]:
    for path in sorted(folder.rglob("*")):
        if path.suffix in _SERVED:
            content = path.read_bytes()
            yield path.relative_to(folder).as_posix(), PageFile(content, _media_type(path), f'"{_digest(content)}"')


def _media_type(path: Path) -> str:
    # Not by `mimetypes`: a Windows registry may say that .js is text/plain, which a browser refuses to run.
    return _SERVED[path.suffix]


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
