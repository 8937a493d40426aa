"""What an access token says (RFC 9068), and the keys that prove it (RFC 7517): pure,
without any waiting.
"""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, TypeAlias

from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from apps.kit.errors import Unauthorized
from apps.kit.scopes import Principal

ALGORITHMS = ("RS256", "ES256")
CLOCK_LEEWAY_SECONDS = 10
# How long an access token lives. Verifiers hold a list of revocations for as long.
ACCESS_TOKEN_SECONDS = 600

Key: TypeAlias = RSAKey | ECKey


def parse_keys(document: Any) -> dict[str, Key]:
    """Returns a JWK set's verification keys by id; others (symmetric, without an id, for
    encryption) are left out.
    """
    keys: dict[str, Key] = {}
    for entry in document["keys"]:
        kid, algorithm = entry.get("kid"), entry.get("alg")
        if (
            not isinstance(kid, str)
            or entry.get("use", "sig") != "sig"
            or algorithm not in ALGORITHMS
        ):
            continue
        with suppress(JoseError, ValueError):
            kind: type[Key] = RSAKey if algorithm == "RS256" else ECKey
            key = kind.import_key(entry)
            # Built once here, not with the first token.
            key.get_op_key("verify")
            keys[kid] = key
    if not keys:
        raise ValueError("no keys")
    return keys


def read_key_id(token: str) -> str:
    """Returns the id of the key that should have signed it; raises Unauthorized for a malformed
    header or another algorithm.
    """
    try:
        header = jws.extract_compact(token.encode()).headers()
    except (JoseError, ValueError, TypeError, RecursionError):
        raise Unauthorized("invalid_token", "malformed") from None
    kid = header.get("kid")
    if header.get("alg") not in ALGORITHMS or not isinstance(kid, str):
        raise Unauthorized("invalid_token", "the algorithm or key id is not acceptable")
    return kid


def read_principal(
    token: str, key: Key, *, issuer: str, audiences: tuple[str, ...], now: float
) -> Principal:
    """Returns the principal of a token signed with `key`; raises Unauthorized, with the reason, for
    anything amiss.
    """
    try:
        decoded = jwt.decode(token, key, algorithms=ALGORITHMS)
    except (JoseError, ValueError, TypeError, RecursionError):
        raise Unauthorized("invalid_token", "the signature or form is wrong") from None
    claims: dict[str, Any] = decoded.claims
    if str(decoded.header.get("typ", "")).lower().removeprefix("application/") != "at+jwt":
        raise Unauthorized("invalid_token", "not an access token")
    if claims.get("iss") != issuer:
        raise Unauthorized("invalid_token", "another issuer's")
    stated = claims.get("aud")
    audience = next(
        (one for one in (stated if isinstance(stated, list) else [stated]) if one in audiences),
        None,
    )
    if audience is None:
        raise Unauthorized("invalid_token", "for another audience")
    expires_at, issued_at = read_time(claims, "exp"), read_time(claims, "iat")
    not_before = read_time(claims, "nbf") if "nbf" in claims else issued_at
    if now >= expires_at:
        raise Unauthorized("invalid_token", "expired")
    if max(issued_at, not_before) > now + CLOCK_LEEWAY_SECONDS:
        raise Unauthorized("invalid_token", "not valid yet")
    scope, roles = claims.get("scope", ""), claims.get("roles", [])
    if not (
        isinstance(scope, str)
        and isinstance(roles, list)
        and all(isinstance(role, str) for role in roles)
    ):
        raise Unauthorized("invalid_token", "scope or roles are malformed")
    return Principal(
        subject=read_id(claims, "sub"),
        client_id=read_id(claims, "client_id"),
        audience=str(audience),
        scopes=frozenset(scope.split()),
        roles=tuple(roles),
        token_id=read_id(claims, "jti"),
        issued_at=int(issued_at),
        expires_at=int(expires_at),
        patient_id=read_id(claims, "patient") if "patient" in claims else None,
        family=read_id(claims, "family") if "family" in claims else None,
        encounter_id=read_id(claims, "encounter") if "encounter" in claims else None,
        fhir_user=read_id(claims, "fhirUser") if "fhirUser" in claims else None,
        key_thumbprint=read_thumbprint(claims["cnf"]) if "cnf" in claims else None,
    )


def read_time(claims: Mapping[str, Any], name: str) -> float:
    """Returns a NumericDate in Unix seconds."""
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < 2**53:
        raise Unauthorized("invalid_token", f"without a valid {name}")
    return value


def read_thumbprint(confirmation: Any) -> str:
    """Returns the key of RFC 9449's `cnf`. A token that is bound in a way that we do not know
    is not accepted.
    """
    if not isinstance(confirmation, dict) or confirmation.keys() != {"jkt"}:
        raise Unauthorized("invalid_token", "bound in an unknown way")
    return read_id(confirmation, "jkt")


def read_id(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name)
    if not isinstance(value, str) or not value:
        raise Unauthorized("invalid_token", f"without a valid {name}")
    return value
