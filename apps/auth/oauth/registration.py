"""What an administrator may register as a client: parsed here, every fault named."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from apps.auth.client_keys import parse_client_keys
from apps.auth.people.roles import is_scope
from apps.kit.errors import FieldError, Unprocessable

FIELDS = (
    "name",
    "authMethod",
    "grantTypes",
    "scopes",
    "redirectUris",
    "postLogoutRedirectUris",
    "jwks",
    "jwksUri",
    "backchannelLogoutUri",
    "dpopBound",
    "pushedRequestsOnly",
    "trusted",
)
DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"
TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"  # noqa: S105  # a name
GRANT_TYPES = (
    "authorization_code",
    "refresh_token",
    "client_credentials",
    DEVICE_CODE,
    TOKEN_EXCHANGE,
)
AUTH_METHODS = ("client_secret_basic", "client_secret_post", "private_key_jwt", "none")
FLAGS = ("trusted", "dpopBound", "pushedRequestsOnly")
# What speaks for the services themselves is given by the release alone.
RESERVED_SCOPES = frozenset({"billing.system"})
MAX_ITEMS = 50
MAX_URI_CHARS = 500


def parse_registration(body: dict[str, Any]) -> dict[str, Any]:
    """Returns the arguments of `create_client`; raises Unprocessable."""
    faults: list[FieldError] = []

    def expect(right: bool, field: str, message: str) -> None:
        if not right:
            faults.append(FieldError("invalid_field", message, f"/{field}"))

    def texts(field: str, check: Callable[[str], bool], message: str) -> tuple[str, ...]:
        value = body.get(field, [])
        if not isinstance(value, list) or len(value) > MAX_ITEMS:
            expect(False, field, f"a list of at most {MAX_ITEMS}")
            return ()
        for index, item in enumerate(value):
            expect(isinstance(item, str) and check(item), f"{field}/{index}", message)
        return tuple(item for item in value if isinstance(item, str))

    name, auth_method = body.get("name"), body.get("authMethod", "client_secret_basic")
    expect(
        isinstance(name, str) and 0 < len(name) <= 200 and name.isprintable(),
        "name",
        "1 to 200 printable characters",
    )
    expect(auth_method in AUTH_METHODS, "authMethod", f"one of {', '.join(AUTH_METHODS)}")
    grant_types = texts(
        "grantTypes", lambda value: value in GRANT_TYPES, f"one of {', '.join(GRANT_TYPES)}"
    )
    scopes = texts(
        "scopes",
        lambda value: is_scope(value) and value not in RESERVED_SCOPES,
        "not a scope to be had",
    )
    uri = (
        "https, http on the loopback, or an application's own scheme with a dot in it; no fragment"
    )
    redirect_uris = texts("redirectUris", is_redirect_uri, uri)
    post_logout_redirect_uris = texts("postLogoutRedirectUris", is_redirect_uri, uri)
    expect(bool(grant_types), "grantTypes", "at least one")
    expect(bool(scopes), "scopes", "at least one")
    interactive = "authorization_code" in grant_types
    expect(
        bool(redirect_uris) == interactive, "redirectUris", "with authorization_code, and only then"
    )
    expect(
        interactive or DEVICE_CODE in grant_types or "refresh_token" not in grant_types,
        "grantTypes",
        "refresh_token needs authorization_code or a device code",
    )
    anonymous = auth_method == "none" and {"client_credentials", TOKEN_EXCHANGE} & set(grant_types)
    expect(not anonymous, "grantTypes", "a public client has no credentials")
    jwks = body.get("jwks")
    jwks_uri = body.get("jwksUri")
    backchannel_logout_uri = body.get("backchannelLogoutUri")
    expect(
        ((jwks is not None) + (jwks_uri is not None)) == (auth_method == "private_key_jwt"),
        "jwks",
        "either jwks or jwksUri with private_key_jwt, and only then",
    )
    for field, value in (("jwksUri", jwks_uri), ("backchannelLogoutUri", backchannel_logout_uri)):
        expect(value is None or is_server_uri(value), field, "an https URL of a server")
    expect(
        jwks is None or is_public_key_set(jwks),
        "jwks",
        "a set of public RS384, ES384, RS256 or ES256 keys, each with a kid",
    )
    for flag in FLAGS:
        expect(isinstance(body.get(flag, False), bool), flag, "true or false")
    if faults:
        raise Unprocessable("invalid_client", faults=tuple(faults))
    return {
        "name": name,
        "auth_method": auth_method,
        "grant_types": grant_types,
        "scopes": scopes,
        "redirect_uris": redirect_uris,
        "post_logout_redirect_uris": post_logout_redirect_uris,
        "jwks": jwks,
        "jwks_uri": jwks_uri,
        "backchannel_logout_uri": backchannel_logout_uri,
        "dpop_bound": body.get("dpopBound", False),
        "pushed_requests_only": body.get("pushedRequestsOnly", False),
        "trusted": body.get("trusted", False),
    }


def is_redirect_uri(uri: str) -> bool:
    """Holds a URI to RFC 8252 and RFC 9700: nobody else on the way, no wildcard, no fragment,
    nothing that runs a script.
    """
    if (
        len(uri) > MAX_URI_CHARS
        or not uri.isascii()
        or not uri.isprintable()
        or set(uri) & set(' "\\<>#*')
    ):
        return False
    try:
        parts = urlsplit(uri)
        host = parts.hostname
    except ValueError:
        return False
    if parts.username is not None or parts.password is not None:
        return False
    if parts.scheme == "https":
        return bool(host)
    if parts.scheme == "http":
        return host in ("127.0.0.1", "::1", "localhost")
    return "." in parts.scheme and bool(parts.path or host)


def is_server_uri(uri: Any) -> bool:
    """Tells whether this service may call the address: where it leads to is checked again
    with each call.
    """
    if not isinstance(uri, str) or not is_redirect_uri(uri):
        return False
    return urlsplit(uri).scheme in ("https", "http")


def is_public_key_set(jwks: Any) -> bool:
    try:
        return len(parse_client_keys(jwks)["keys"]) == len(jwks["keys"])
    except ValueError:
        return False
