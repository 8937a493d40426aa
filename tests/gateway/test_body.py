"""The body of a request on its way through, whatever the server hands over."""

from typing import Any

import pytest

from apps.gateway.body import RequestBody
from apps.gateway.settings import RequestLimits
from apps.kit.errors import ContentTooLarge


async def test_body_over_its_declared_length_is_refused() -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"x" * 6, "more_body": False}

    scope = {"headers": [(b"content-length", b"5")], "http_version": "1.1"}
    body = RequestBody(scope, receive, max_bytes=100, limits=RequestLimits())
    with pytest.raises(ContentTooLarge):
        await body.read()
    assert isinstance(body.fault, ContentTooLarge)
