"""The codes of the JSON-RPC errors that the relays and the servers send of their own accord.

What others send is passed on as it came. The site's reference is made from this file: below each code stands
when it is sent, and in a second paragraph what to do.
"""

from __future__ import annotations

PARSE_ERROR = -32700
"""What came is not JSON (JSON-RPC 2.0 section 5.1).

Mend the client.
"""
INVALID_REQUEST = -32600
"""What came is JSON, but no request that is taken here (JSON-RPC 2.0 section 5.1); the HTTP status says why.

Do what the sentence says.
"""
METHOD_NOT_FOUND = -32601
"""The method is not known here, in this revision or from this side (JSON-RPC 2.0 section 5.1).

Ask for what the other side declared.
"""
INVALID_PARAMS = -32602
"""The params are not what the method takes (JSON-RPC 2.0 section 5.1).

Send what the sentence names.
"""
INTERNAL_ERROR = -32603
"""The message is good, and has no answer (JSON-RPC 2.0 section 5.1); the HTTP status says why.

Look in the log of the service that said it, or ask `./justw doctor`.
"""
REQUEST_TIMEOUT = -32001
"""The server behind took longer than it may (the official SDK's code for a request without answer in time).

Try again; the proxy's `--request-timeout` gives the server more time.
"""
REQUEST_CANCELLED = -32800
"""The client itself cancelled the request (the Language Server Protocol's code; MCP has none).

Nothing need be done.
"""
HEADER_MISMATCH = -32020
"""A header that repeats the body says something else, or is missing (MCP 2026-07-28, Transports).

Send the header as the body has it.
"""
MISSING_CAPABILITY = -32021
"""The server has to ask what the client did not declare that it answers (MCP 2026-07-28, Base Protocol).

Declare what `data.requiredCapabilities` names.
"""
UNSUPPORTED_VERSION = -32022
"""The request names a protocol version that is not spoken here (MCP 2026-07-28, Base Protocol).

Take one that `data.supported` names.
"""
