"""The web application, without its listener: routes and what is around them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from . import greeting
from .config import Config
from .health import Health
from .observe import Metrics, Observe
from .outbound import Client


def create_app(config: Config, info: dict[str, str], health: Health) -> FastAPI:
    upstream = Client() if config.upstream_url else None
    if upstream is not None:
        health.require("upstream", lambda: upstream.probe(config.upstream_url))

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        if upstream is not None:
            await upstream.close()

    app = FastAPI(title=info["service"], version=info["version"], lifespan=lifespan)
    metrics = Metrics()
    app.add_middleware(Observe, metrics=metrics, health=health)
    app.include_router(health.router())
    app.include_router(metrics.router())
    app.include_router(greeting.router(config, info, upstream))

    @app.get("/version")
    async def version() -> dict[str, str]:
        return info

    return app
