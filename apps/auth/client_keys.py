"""Public keys of clients: what is accepted of a JWK set, registered or fetched."""

from typing import Any

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

# SMART App Launch asks for RS384 and ES384; the others are what most libraries use.
CLIENT_ALGORITHMS = ("RS384", "ES384", "RS256", "ES256")
MAX_KEYS = 50
MIN_RSA_BITS = 2048
_PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "k"})
_CURVES = {"P-256": "ES256", "P-384": "ES384"}


def parse_client_keys(document: Any) -> dict[str, Any]:
    """Returns the set's signing keys as a JWK set. Raises ValueError for a set without one, or with
    a private key.

    Keys for encryption and of other types are left out. A key needs a `kid`; its `alg` follows from
    its type if it states none.
    """
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list) or not 0 < len(entries) <= MAX_KEYS:
        raise ValueError(f"expected 1 to {MAX_KEYS} keys")

    keys = []
    for entry in entries:
        if not isinstance(entry, dict):
            raise ValueError("a key is no object")
        if _PRIVATE & entry.keys():
            raise ValueError("a key is private")
        if _is_signing_key(entry):
            keys.append(entry)
    if not keys:
        raise ValueError("no signing key")
    return {"keys": keys}


def _is_signing_key(entry: dict[str, Any]) -> bool:
    algorithm = entry.get("alg")
    if not isinstance(entry.get("kid"), str) or entry.get("use", "sig") != "sig":
        return False
    if algorithm is not None and algorithm not in CLIENT_ALGORITHMS:
        return False
    try:
        if entry.get("kty") == "RSA":
            bits = RSAKey.import_key(entry).public_key.key_size
            return bits >= MIN_RSA_BITS and algorithm in (None, "RS256", "RS384")
        if entry.get("kty") == "EC":
            ECKey.import_key(entry).get_op_key("verify")
            return algorithm in (None, _CURVES.get(str(entry.get("crv"))))
    except (JoseError, ValueError, TypeError, KeyError):
        return False
    return False
