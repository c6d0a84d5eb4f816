"""What the official conformance suite asks of a server: tools, prompts, resources.

Names and texts are the suite's own (`conformance server --scenario NAME`). In 2026-07-28 a question to the
client is an InputRequiredResult; in a handshake session the same question is a request to the client, so that
every tool works in both.
"""

from __future__ import annotations

from typing import Any

from mcp.server import Server
from mcp_types import SetLevelRequestParams, SubscribeRequestParams, UnsubscribeRequestParams

from . import answering, prompts, questions, resources, rounds, saying  # noqa: F401  # they add themselves
from .answering import SCHEMA
from .resources import subscribe, unsubscribe
from .saying import set_level
from .server import server

__all__ = ["server", "whole"]


def whole() -> Server[Any]:
    """The SDK's server, with the requests that its decorators have no word for."""
    tool = server._tool_manager.get_tool("json_schema_2020_12_tool")
    assert tool is not None
    tool.parameters = SCHEMA
    lowlevel = server._lowlevel_server
    lowlevel.add_request_handler("logging/setLevel", SetLevelRequestParams, set_level)
    lowlevel.add_request_handler("resources/subscribe", SubscribeRequestParams, subscribe)
    lowlevel.add_request_handler("resources/unsubscribe", UnsubscribeRequestParams, unsubscribe)
    return lowlevel
