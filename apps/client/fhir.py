"""The record as FHIR R4 (https://hl7.org/fhir/R4/http.html), by a `Client`."""

import uuid
from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

import msgspec

from apps.client.client import Client, Response

BASE = "/fhir/R4"
Resource = dict[str, Any]


class RefusedError(Exception):
    """The platform refused the request; the message gives its reasons."""

    def __init__(self, response: Response) -> None:
        super().__init__(f"HTTP {response.status}: {'; '.join(response.reasons)}")
        self.response = response


def check(response: Response) -> Any:
    """Returns the body of a successful response. Raises RefusedError."""
    if not response.ok:
        raise RefusedError(response)
    return response.body


async def read_resource(client: Client, resource_type: str, id: str) -> Resource:
    """Returns the current version of a resource. Raises RefusedError."""
    found: Resource = check(await client.call("GET", f"{BASE}/{resource_type}/{id}"))
    return found


async def create_resource(
    client: Client, resource: Resource, *, idempotency_key: str | None = None
) -> Resource:
    """Creates a resource, once however often it is sent, and returns it as stored.
    Raises RefusedError.
    """
    created: Resource = check(
        await client.call(
            "POST",
            f"{BASE}/{resource['resourceType']}",
            body=msgspec.json.encode(resource),
            headers={"Idempotency-Key": idempotency_key or str(uuid.uuid4())},
        )
    )
    return created


async def search(
    client: Client, resource_type: str, parameters: Mapping[str, str] | None = None
) -> AsyncIterator[Resource]:
    """Yields every match, page by page along the Bundles' `next` links. Raises RefusedError.

    `_count` among the parameters sets the size of a page; what `_include` adds is yielded too.
    """
    query = f"?{urlencode(parameters)}" if parameters else ""
    path: str | None = f"{BASE}/{resource_type}{query}"
    while path:
        bundle = check(await client.call("GET", path))
        for entry in bundle.get("entry", ()):
            yield entry["resource"]
        path = next_path(client, bundle)


def next_path(client: Client, bundle: Resource) -> str | None:
    """Returns the path of the next page, None at the last. The token is sent to no other server."""
    links = {link["relation"]: link["url"] for link in bundle.get("link", ())}
    url = links.get("next")
    if url is None:
        return None
    parts = urlsplit(url)
    own = urlsplit(client.url)
    if parts.netloc and (parts.scheme, parts.netloc) != (own.scheme, own.netloc):
        raise ValueError(f"the next page is on another server: {parts.scheme}://{parts.netloc}")
    return f"{parts.path}?{parts.query}" if parts.query else parts.path


async def send_bundle(client: Client, body: bytes, *, idempotency_key: str) -> Response:
    """Sends a `transaction` or `batch` Bundle, encoded, and returns the platform's
    response to it.
    """
    return await client.call("POST", BASE, body=body, headers={"Idempotency-Key": idempotency_key})
