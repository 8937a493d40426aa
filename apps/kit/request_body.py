"""How long a request's body is, and a limit on it."""

from starlette.types import Message, Receive, Scope

from apps.kit.errors import BadRequest, ContentTooLarge

# `int` raises for thousands of digits, and nobody sends 10^18 bytes.
MAX_LENGTH_DIGITS = 18


def declared_length(scope: Scope) -> int | None:
    """Returns what `Content-Length` says, 0 for a request without a body, None for an
    unknown length.

    The length is unknown if the body comes in chunks (RFC 9112, 6.3: `Content-Length` is not to be
    believed then) or over HTTP/2. Raises BadRequest for a malformed header.
    """
    length: int | None = None
    chunked = False
    for name, value in scope["headers"]:
        if name == b"content-length":
            if not value.isdigit():
                raise BadRequest("malformed_header", "Content-Length")
            length = int(value) if len(value) <= MAX_LENGTH_DIGITS else 10**MAX_LENGTH_DIGITS
        elif name == b"transfer-encoding":
            chunked = True
    if chunked:
        return None
    if length is None and scope["http_version"].startswith("1"):
        return 0
    return length


def limit_body(scope: Scope, receive: Receive, max_bytes: int) -> Receive:
    """Returns a `receive` that raises ContentTooLarge for a longer body: before it is read if its
    length is declared.

    Starlette's own limit answers in plain text, past the handlers of errors.
    """
    length = declared_length(scope)
    is_too_long = length is not None and length > max_bytes
    total = 0

    async def receive_limited() -> Message:
        nonlocal total
        message: Message = {} if is_too_long else await receive()
        total += len(message.get("body", b""))
        if is_too_long or total > max_bytes:
            raise ContentTooLarge("content_too_large", f"a body may have {max_bytes} bytes")
        return message

    return receive_limited
