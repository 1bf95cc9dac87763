"""The OpenAPI document, and a page that shows it: drawn here, so that nothing is loaded from outside.

Both need a token or a session, like everything else. Start at `router`.
"""

from __future__ import annotations

from html import escape
from typing import Any

from fastapi import APIRouter, Request
from fastapi.openapi.utils import get_openapi
from starlette.responses import HTMLResponse, JSONResponse, Response

from sigil_ext import __version__

DESCRIPTION = (
    "What four paper-trading variants do. Every answer is {data, meta: {timestamp, mode, version}}, every error {error, meta}."
    " Authorization: Bearer with SIGIL_API_TOKEN reads; SIGIL_API_ACT_TOKEN acts as well. The websocket of events is at"
    " /sigil/api/v1/events."
)
router = APIRouter(include_in_schema=False)


@router.get("/openapi.json")
async def document(request: Request) -> Response:
    """Return the OpenAPI document."""
    return JSONResponse(openapi(request))


@router.get("/docs")
async def page(request: Request) -> Response:
    """Show the document for people."""
    return HTMLResponse(_page(openapi(request)))


def openapi(request: Request) -> dict[str, Any]:
    """Return the document of the API's routes; it is made once."""
    state = request.app.state
    made: dict[str, Any] | None = getattr(state, "openapi", None)
    if made is None:
        made = get_openapi(
            title="Sigil", version=__version__, description=DESCRIPTION,
            routes=[r for r in request.app.routes if getattr(r, "path", "").startswith("/sigil/api/")],
        )  # fmt: skip
        made["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        made["security"] = [{"token": []}]
        state.openapi = made
    return made


def _page(document: dict[str, Any]) -> str:
    parts = [_operation(path, method, op) for path, by in document["paths"].items() for method, op in by.items()]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Sigil API</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<link rel="stylesheet" href="/sigil/static/panel.css"></head><body><main><h1>Sigil API</h1>'
        f'<p>{escape(document["info"]["description"])}</p><p><a href="openapi.json">openapi.json</a> ·'
        f' <a href="/sigil/">panel</a></p>{"".join(parts)}</main></body></html>'
    )


def _operation(path: str, method: str, operation: dict[str, Any]) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(p['name'])}</code></td><td>{p['in']}</td><td>{escape(_kind(p['schema']))}</td>"
        f"<td>{escape(p.get('description', ''))}</td></tr>"
        for p in operation.get("parameters", [])
    )
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    sends = f"<p>Body: <code>{escape(_kind(body))}</code></p>" if body else ""
    answer = operation["responses"].get("200", {}).get("content", {}).get("application/json", {}).get("schema", {})
    table = (
        f'<div class="scroll"><table><thead><tr><th>name</th><th>in</th><th>type</th><th></th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
        if rows
        else ""
    )
    return (
        f"<section><h2><code>{method.upper()} {escape(path)}</code></h2><p>{escape(operation.get('description', ''))}</p>"
        f"{sends}{table}<p>Answer: <code>{escape(_kind(answer))}</code></p></section>"
    )


def _kind(schema: dict[str, Any]) -> str:
    """Return a schema in a few words."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "anyOf" in schema:
        return " or ".join(_kind(s) for s in schema["anyOf"] if s.get("type") != "null")
    if "enum" in schema:
        return " | ".join(str(v) for v in schema["enum"])
    kind = str(schema.get("type", "any"))
    if kind == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    default = f", default {schema['default']}" if "default" in schema else ""
    return str(schema.get("format", kind)) + default
