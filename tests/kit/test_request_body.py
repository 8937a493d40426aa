"""How long a request's body may be, declared or not."""

from typing import Any

import pytest

from apps.kit.errors import BadRequest, ContentTooLarge
from apps.kit.request_body import declared_length, limit_body


def scope(*headers: tuple[bytes, bytes], http_version: str = "1.1") -> dict[str, Any]:
    return {"headers": list(headers), "http_version": http_version}


@pytest.mark.parametrize(
    ("given", "length"),
    [
        (scope(), 0),
        (scope((b"content-length", b"7")), 7),
        (scope((b"transfer-encoding", b"chunked")), None),
        # RFC 9112, 6.3: the length is not to be believed then.
        (scope((b"content-length", b"7"), (b"transfer-encoding", b"chunked")), None),
        (scope((b"transfer-encoding", b"chunked"), (b"content-length", b"7")), None),
        (scope(http_version="2"), None),
        (scope((b"content-length", b"7"), http_version="2"), 7),
        (scope((b"content-length", b"9" * 5000)), 10**18),
    ],
)
def test_length_is_what_the_headers_declare(given: dict[str, Any], length: int | None) -> None:
    assert declared_length(given) == length


@pytest.mark.parametrize("value", [b"", b"-1", b"+1", b"1,1", b"0x10", b"1 "])
def test_malformed_length_is_refused(value: bytes) -> None:
    with pytest.raises(BadRequest):
        declared_length(scope((b"content-length", value)))


async def test_body_is_read_up_to_its_limit_and_no_further() -> None:
    pieces = [b"x" * 6, b"x" * 4, b"x"]

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces)}

    limited = limit_body(scope((b"transfer-encoding", b"chunked")), receive, 10)
    assert len((await limited())["body"]) == 6
    assert len((await limited())["body"]) == 4
    with pytest.raises(ContentTooLarge):
        await limited()


@pytest.mark.parametrize(("length", "is_refused"), [(b"10", False), (b"11", True)])
async def test_body_declared_too_long_is_refused_before_it_is_read(
    length: bytes, is_refused: bool
) -> None:
    asked = 0

    async def receive() -> dict[str, Any]:
        nonlocal asked
        asked += 1
        return {"type": "http.request", "body": b"", "more_body": False}

    limited = limit_body(scope((b"content-length", length)), receive, 10)
    if is_refused:
        with pytest.raises(ContentTooLarge):
            await limited()
        assert asked == 0
    else:
        await limited()
        assert asked == 1
