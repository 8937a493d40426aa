"""Which address a request comes from, and which languages an application wishes for."""

from typing import Any

import pytest
from starlette.requests import Request

from apps.auth.state import address_of
from apps.auth.texts import MAX_LOCALES, ui_locales_of


def request(*forwarded: str, query: str = "", peer: tuple[str, int] | None = None) -> Request:
    scope: dict[str, Any] = {
        "type": "http",
        "headers": [(b"x-forwarded-for", value.encode()) for value in forwarded],
        "query_string": query.encode(),
        "client": peer,
        "state": {},
    }
    return Request(scope)


@pytest.mark.parametrize(
    ("asked", "address"),
    [
        (request("192.0.2.1"), "192.0.2.1"),
        # What a client wrote stands before what the gateway wrote.
        (request("192.0.2.9, 192.0.2.1"), "192.0.2.1"),
        (request("192.0.2.9", "192.0.2.8 ,192.0.2.1 "), "192.0.2.1"),
        (request("x" * 65), "x" * 64),
        (request("192.0.2.1", peer=("10.0.0.1", 7)), "192.0.2.1"),
        (request(peer=("10.0.0.1", 7)), "10.0.0.1"),
        (request(), ""),
    ],
    ids=["one", "last of a list", "last header", "long", "beside a peer", "peer", "none"],
)
def test_address_is_the_one_that_the_gateway_wrote(asked: Request, address: str) -> None:
    assert address_of(asked) == address


def test_languages_that_an_application_wishes_for_are_bounded_in_number() -> None:
    tags = [f"x{number}" for number in range(MAX_LOCALES + 1)]
    assert ui_locales_of(request(query="ui_locales=" + "+".join(tags))) == tags[:MAX_LOCALES]
    assert ui_locales_of(request(query="next=ui_locales%3Dde%26a%3Db")) == ["de"]
    assert ui_locales_of(request(query="ui_locales=fr&next=ui_locales%3Dde")) == ["fr"]
    assert ui_locales_of(request()) == []
