"""Tools that answer: content of every kind, an error, a schema."""

from __future__ import annotations

import json

from mcp_types import AudioContent, CallToolResult, EmbeddedResource, ImageContent, TextContent

from .content import AUDIO, IMAGE, embedded, text
from .server import server


@server.tool(structured_output=False)
def test_simple_text() -> str:
    """Returns a simple text."""
    return "This is a simple text response for testing."


@server.tool(structured_output=False)
def test_image_content() -> ImageContent:
    """Returns an image."""
    return IMAGE


@server.tool(structured_output=False)
def test_audio_content() -> AudioContent:
    """Returns audio."""
    return AUDIO


@server.tool(structured_output=False)
def test_embedded_resource() -> EmbeddedResource:
    """Returns an embedded resource."""
    return embedded("test://embedded-resource", "text/plain", "This is an embedded resource content.")


@server.tool(structured_output=False)
def test_multiple_content_types() -> list[TextContent | ImageContent | EmbeddedResource]:
    """Returns text, an image and a resource."""
    data = json.dumps({"test": "data", "value": 123}, separators=(",", ":"))
    resource = embedded("test://mixed-content-resource", "application/json", data)
    return [text("Multiple content types test:"), IMAGE, resource]


@server.tool(structured_output=False)
def test_error_handling() -> CallToolResult:
    """Always fails."""
    said = "This tool intentionally returns an error for testing"
    return CallToolResult(content=[text(said)], is_error=True)


@server.tool(structured_output=False)
def json_schema_2020_12_tool(name: str = "", contactMethod: str = "") -> str:  # noqa: N803
    """Tool with JSON Schema 2020-12 features."""
    return f"{name} {contactMethod}"


SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }
    },
    "properties": {
        "name": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": {"type": "string"},
        "email": {"type": "string"},
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}
