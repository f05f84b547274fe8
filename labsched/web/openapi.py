"""The OpenAPI document, made of the table of calls."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from .endpoints import Endpoint

_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {"error": {"type": "string"}, "may_have_happened": {"type": "boolean"}},
}


def document(endpoints: Iterable[Endpoint]) -> bytes:
    """OpenAPI 3.1 as JSON."""
    known = tuple(endpoints)
    schemas, components = msgspec.json.schema_components(
        [endpoint.returns for endpoint in known], ref_template="#/components/schemas/{name}"
    )
    paths: dict[str, dict[str, Any]] = {}
    for endpoint, schema in zip(known, schemas, strict=True):
        path = re.sub(r"\{(\w+):path\}", r"{\1}", endpoint.path)
        paths.setdefault(path, {})[endpoint.method.lower()] = _operation(endpoint, schema)
    bearer = {"bearer": {"type": "http", "scheme": "bearer"}}
    return msgspec.json.encode(
        {
            "openapi": "3.1.0",
            "info": {"title": "labsched", "version": "1"},
            "paths": paths,
            "components": {"schemas": {**components, "Error": _ERROR}, "securitySchemes": bearer},
        }
    )


def _operation(endpoint: Endpoint, schema: Mapping[str, Any]) -> dict[str, Any]:
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    operation: dict[str, Any] = {
        "operationId": endpoint.name,
        "summary": endpoint.about,
        "parameters": [
            {
                "name": p.name,
                "in": p.where,
                "required": p.where == "path",
                "schema": p.schema,
                "description": p.about,
            }
            for p in endpoint.params
        ],
        "responses": {
            "200": {"description": endpoint.about, "content": {"application/json": {"schema": schema}}},
            **{
                str(status): {"description": "refused", "content": error}
                for status in sorted(endpoint.errors)
            },
        },
    }
    if endpoint.body is not None:
        operation["requestBody"] = {"content": {"application/json": {"schema": endpoint.body}}}
    if endpoint.method != "GET":
        operation["security"] = [{"bearer": []}]
    return operation
