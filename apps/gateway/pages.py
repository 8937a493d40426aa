"""`/openapi.json`, one document for all that is public, and `/docs`, the same for people to read."""

import base64
import hashlib
from html import escape
from pathlib import Path
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from apps.gateway.billing_openapi import describe_billing
from apps.gateway.settings import Settings
from apps.kit.web import PUBLIC, Operation, PolicedRoute

DOCUMENT = Path(__file__).with_name("openapi.json")
# Generated from the definitions by `scripts/openapi`.
FHIR_DOCUMENT = Path(__file__).with_name("fhir_openapi.json")
STYLE = Path(__file__).with_name("docs.css")
CACHE = {"Cache-Control": "public, max-age=300"}
METHODS = ("get", "post", "put", "patch", "delete")


def read_document(settings: Settings) -> dict[str, Any]:
    """The OpenAPI 3.1 document of this deployment: its address, and without what its settings switch off."""
    document: dict[str, Any] = msgspec.json.decode(DOCUMENT.read_bytes())
    paths, schemas = describe_billing()
    document["paths"].update(paths)
    document["components"]["schemas"].update(schemas)
    fhir: dict[str, Any] = msgspec.json.decode(FHIR_DOCUMENT.read_bytes())
    document["paths"] = {**document["paths"], **fhir["paths"]}
    for kind, named in fhir["components"].items():
        document["components"].setdefault(kind, {}).update(named)
    document["servers"] = [{"url": settings.public_url}]
    flows = document["components"]["securitySchemes"]["oauth2"]["flows"]
    for flow in flows.values():
        for name in ("authorizationUrl", "tokenUrl"):
            if name in flow:
                flow[name] = settings.public_url + flow[name]
    if not settings.password_login_enabled:
        for path in ("/auth/login", "/auth/validate"):
            del document["paths"][path]
    return document


def document_routes(settings: Settings) -> list[PolicedRoute]:
    document = read_document(settings)
    json = msgspec.json.encode(document)
    style = STYLE.read_text()
    page = render_page(document, style)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none';"
        " frame-ancestors 'none'"
    )

    async def openapi(request: Request) -> Response:
        return Response(json, media_type="application/json", headers=CACHE)

    async def docs(request: Request) -> Response:
        headers = {**CACHE, "Content-Security-Policy": policy, "Referrer-Policy": "no-referrer"}
        return Response(page, media_type="text/html", headers=headers)

    return [
        PolicedRoute("/openapi.json", Operation("GET", openapi, PUBLIC)),
        PolicedRoute("/docs", Operation("GET", docs, PUBLIC)),
    ]


def render_page(document: dict[str, Any], style: str) -> str:
    """One page without a script: what there is, a section for each tag."""
    info = document["info"]
    sections = []
    links = []
    for tag in document["tags"]:
        name = tag["name"]
        anchor = escape(name.lower().replace(" ", "-"), quote=True)
        operations = [
            _operation(method, path, operation, document)
            for path, item in document["paths"].items()
            for method, operation in item.items()
            if method in METHODS and name in operation["tags"]
        ]
        links.append(f'<a href="#{anchor}">{escape(name)}</a>')
        sections.append(
            f'<section id="{anchor}"><h2>{escape(name)}</h2><p>{escape(tag["description"])}</p>'
            f"{''.join(operations)}</section>"
        )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(info['title'])}</title><style>{style}</style></head><body>"
        f"<header><h1>{escape(info['title'])}</h1>{_paragraphs(info['description'])}"
        f'<p><a href="/openapi.json">OpenAPI {escape(document["openapi"])} document</a> · server '
        f"<code>{escape(document['servers'][0]['url'])}</code></p><nav>{' '.join(links)}</nav></header>"
        f"<main>{''.join(sections)}</main></body></html>"
    )


def _operation(method: str, path: str, operation: dict[str, Any], document: dict[str, Any]) -> str:
    item = document["paths"][path]
    parameters = [
        _resolve(one, document)
        for one in (*item.get("parameters", ()), *operation.get("parameters", ()))
    ]
    rows = "".join(
        f"<tr><td><code>{escape(one['name'])}</code></td><td>{escape(one['in'])}"
        f"{', required' if one.get('required') else ''}</td><td>{escape(one.get('description', ''))}</td></tr>"
        for one in parameters
    )
    body = operation.get("requestBody")
    body_types = ", ".join(body["content"]) if body else ""
    answers = "".join(
        f"<tr><td><code>{escape(status)}</code></td><td>{escape(_resolve(answer, document)['description'])}</td></tr>"
        for status, answer in operation["responses"].items()
    )
    return (
        f'<details><summary><b class="{method}">{method.upper()}</b> <code>{escape(path)}</code> '
        f"<span>{escape(operation['summary'])}</span></summary>"
        f"<p>{escape(operation.get('description', ''))}</p><p>Needs: {escape(_needs(operation))}</p>"
        + (f"<table><caption>Parameters</caption>{rows}</table>" if rows else "")
        + (f"<p>Body: <code>{escape(body_types)}</code></p>" if body else "")
        + f"<table><caption>Answers</caption>{answers}</table></details>"
    )


def _needs(operation: dict[str, Any]) -> str:
    alternatives = [
        " and ".join(scopes) or "a token"
        for security in operation["security"]
        for scopes in security.values()
    ]
    return " or ".join(alternatives) or "nothing"


def _resolve(value: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in value:
        return value
    found: Any = document
    for part in value["$ref"].removeprefix("#/").split("/"):
        found = found[part]
    resolved: dict[str, Any] = found
    return resolved


def _paragraphs(text: str) -> str:
    return "".join(f"<p>{escape(part)}</p>" for part in text.split("\n\n"))
