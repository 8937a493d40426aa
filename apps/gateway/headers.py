"""Which header fields travel through the gateway, and which it writes itself."""

from functools import lru_cache

from apps.kit.errors import BadRequest

Pair = tuple[bytes, bytes]

# RFC 9110, 7.6.1, and what older intermediaries treat the same way.
_HOP_BY_HOP = frozenset(
    b"connection keep-alive proxy-authenticate proxy-authorization proxy-connection te trailer "
    b"transfer-encoding"
    b" upgrade http2-settings".split()
)
# Who the caller is says the token alone; where it calls from says the gateway.
_IDENTITY = frozenset(
    b"forwarded via x-real-ip true-client-ip client-ip cf-connecting-ip fastly-client-ip "
    b"x-cluster-client-ip"
    b" x-original-url x-rewrite-url x-original-host x-host x-http-method-override "
    b"x-method-override x-http-method"
    b" x-original-method remote-user remote_user x-remote-user x-principal x-subject x-roles "
    b"x-scope"
    b" x-scopes".split()
)
_IDENTITY_PREFIXES = (
    b"x-user",
    b"x-forwarded",
    b"x-auth",
    b"x-authenticated",
    b"x-client",
    b"x-amzn-",
    b"x-envoy-",
    b"x-internal-",
    b"x-patient-",
    b"x-ssl-",
    b"x-tenant-",
)
# Written anew: the host by the client session, the length with the body, the request's id and trace
# by the context.
_REWRITTEN = frozenset(b"host content-length expect x-request-id traceparent".split())
# The server writes `Date`; the rest is the gateway's to say, whatever a service says.
_ANSWER_DROPPED = _HOP_BY_HOP | frozenset(
    b"server date x-powered-by via alt-svc x-request-id traceparent ratelimit ratelimit-policy"
    b" strict-transport-security x-content-type-options".split()
)

_COOKIE = b"cookie"
_SET_COOKIE = b"set-cookie"


@lru_cache(maxsize=1024)
def _passes_to_service(name: bytes) -> bool:
    # An underscore is read as a dash by some servers: `x_user_id` would come out as the header
    # that was refused.
    plain = name.replace(b"_", b"-")
    return not (
        plain in _HOP_BY_HOP
        or plain in _IDENTITY
        or plain in _REWRITTEN
        or plain.startswith(_IDENTITY_PREFIXES)
    )


@lru_cache(maxsize=1024)
def _passes_to_client(name: bytes) -> bool:
    return name not in _ANSWER_DROPPED and not name.startswith(b"access-control-")


def named_in_connection(headers: list[Pair]) -> frozenset[bytes]:
    """Returns the fields that `Connection` declares to be for one hop alone, in lower case."""
    values = [value for name, value in headers if name == b"connection"]
    return frozenset(token.strip().lower() for value in values for token in value.split(b","))


def request_headers(headers: list[Pair], *, cookies: bool) -> list[tuple[str, str]]:
    """Returns what a service gets of the client's headers; raises BadRequest for a value
    that is not UTF-8.
    """
    dropped = named_in_connection(headers)
    try:
        return [
            (name.decode("ascii"), value.decode())
            for name, value in headers
            if _passes_to_service(name) and name not in dropped and (cookies or name != _COOKIE)
        ]
    except UnicodeDecodeError:
        raise BadRequest("malformed_header", "header values are UTF-8") from None


def response_headers(headers: tuple[Pair, ...], *, cookies: bool) -> list[Pair]:
    """Returns what the client gets of a service's headers, the names in lower case as
    ASGI wants them.
    """
    lowered = [(name.lower(), value) for name, value in headers]
    dropped = named_in_connection(lowered)
    passed = [
        pair
        for pair in lowered
        if _passes_to_client(pair[0])
        and pair[0] not in dropped
        and (cookies or pair[0] != _SET_COOKIE)
    ]
    if not any(name == b"cache-control" for name, _ in passed):
        # Patients' data is kept by nobody on the way, unless the service says otherwise.
        passed.append((b"cache-control", b"no-store"))
    return passed
