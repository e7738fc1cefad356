"""The example: replace it with what the service is for."""

import logging
import random
from typing import Any

import httpx
from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from .config import Config
from .outbound import CircuitOpen, Client

log = logging.getLogger(__name__)


class Greeting(BaseModel):
    greeting: str
    service: str
    version: str
    upstream: Any = None


def router(config: Config, info: dict[str, str], upstream: Client | None) -> APIRouter:
    routes = APIRouter(tags=["greeting"])

    @routes.get("/", response_model=Greeting, response_model_exclude_none=True)
    async def greet() -> Greeting | Response:
        """Answers with GREETING, and with what UPSTREAM_URL says when that is set."""
        if random.random() < config.fail_rate:
            return JSONResponse({"error": "FAIL_RATE asked for this"}, 500)
        answer = Greeting(greeting=config.greeting, service=info["service"], version=info["version"])
        if upstream is not None:
            try:
                response = await upstream.request("GET", config.upstream_url)
                answer.upstream = _body(response.raise_for_status())
            except (httpx.HTTPError, TimeoutError, CircuitOpen) as error:
                log.error("upstream", extra={"fields": {"error": repr(error)}})
                return JSONResponse({"error": "upstream does not answer"}, 502)
        return answer

    return routes


def _body(response: httpx.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        return response.text
