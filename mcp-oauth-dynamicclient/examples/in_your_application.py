"""The authorization server inside a FastAPI application of your own, with an endpoint beside it.

    GATEWAY_SECRET=… PUBLIC_URL=http://localhost:8000 LOCAL_ACCOUNTS=true uvicorn in_your_application:app

It needs no start of its own, since it connects on first use; only its end belongs into your lifespan.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from mcp_oauth_dynamicclient import Settings, create_app

gateway = create_app(Settings())


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    yield
    await gateway.aclose()


app = FastAPI(lifespan=lifespan)


@app.get("/my/own")
async def own() -> dict[str, str]:
    return {"mine": "too"}


app.mount("/", gateway)
