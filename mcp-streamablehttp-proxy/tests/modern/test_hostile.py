"""Values that break what looks at them: every message gets an answer in the protocol's own words."""

from __future__ import annotations

import json

import pytest

from .support import PREFIX, VERSION, Modern

TOO_DEEP = [
    text * depth + "0" + end * depth
    for depth in (250, *range(940, 1000, 12), 5000)
    for text, end in (("[", "]"), ('{"a":', "}"))
]
TOO_LONG = ["9" * 6000, "-" + "9" * 6000]
ODD = ["1e999", "-0", '"\\ud800"', '"\\u0000"', "NaN", "null", "true", "{}", "[]", '""', "1." + "9" * 6000]
PLACES = (
    "id",
    "method",
    "name",
    "arguments",
    "requestState",
    "inputResponses",
    "cursor",
    "progressToken",
    "version",
)


@pytest.mark.parametrize("place", PLACES)
async def test_no_value_in_any_place_is_a_fault_of_ours(known: Modern, place: str) -> None:
    client = known.able()
    for value in (*TOO_DEEP, *TOO_LONG, *ODD):
        body = client.request(
            "tools/list" if place == "cursor" else "tools/call", name="nothing", arguments={}
        )
        params = body["params"]
        if place in ("id", "method"):
            body[place] = "@"
        elif place == "progressToken":
            params["_meta"][place] = "@"
        elif place == "version":
            params["_meta"][f"{PREFIX}protocolVersion"] = "@"
        else:
            params[place] = "@"
        headers = {
            "accept": "application/json, text/event-stream", "content-type": "application/json",
            "mcp-protocol-version": VERSION, "mcp-method": body["method"], "mcp-name": "nothing",
        }  # fmt: skip
        text = json.dumps(body).replace('"@"', value)
        if place == "method":
            headers.pop("mcp-method")
        response = await client.http.post(client.path, content=text, headers=headers)
        # A message is relayed as it came, and a server may end over it: that is 502.
        assert response.status_code != 500, (value[:20], response.text)
        assert "jsonrpc" in response.text
