"""Verifies DPoP proofs (RFC 9449): a token that is bound to a key is of no use to a thief
without the key.
"""

import hashlib
import re
from base64 import urlsafe_b64encode
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

ALGORITHMS = ("ES256", "ES384", "RS256", "RS384")
MAX_PROOF_CHARS = 4096
# How far the proof's time may be from ours, on either side. Section 11.1: a short window bounds the
# memory of replays.
WINDOW_SECONDS = 60
MAX_REMEMBERED_PROOFS = 20_000


class _Registry(jws.JWSRegistry):
    # The header holds the key: an RSA key of 4,096 bits takes about 1,000 characters.
    max_header_length = 2048


_REGISTRY = _Registry(algorithms=ALGORITHMS)
_PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "k"})
_JTI = re.compile(r"[\x21-\x7e]{1,256}")


class ProofError(ValueError):
    """A proof is malformed, for another request, too old, or signed by another key."""


@dataclass(frozen=True, slots=True)
class Proof:
    """`thumbprint`: of the key that signed (RFC 7638), as in a token's `cnf.jkt`."""

    thumbprint: str
    jti: str


def read_proof(
    text: str, *, method: str, url: str, now: float, access_token: str | None = None
) -> Proof:
    """Returns what the proof shows. Raises ProofError unless it is for this method, URL, time
    and access token.

    `url` is without query and fragment.
    """
    if len(text) > MAX_PROOF_CHARS:
        raise ProofError("the proof is too long")
    try:
        header = jws.extract_compact(text.encode("ascii"), registry=_REGISTRY).headers()
        key = _read_key(header)
        claims: dict[str, Any] = jwt.decode(text, key, registry=_REGISTRY).claims
    except ProofError:
        raise
    except (JoseError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise ProofError("the proof's signature or form is wrong") from None

    jti, issued_at = claims.get("jti"), claims.get("iat")
    if not isinstance(jti, str) or not _JTI.fullmatch(jti):
        raise ProofError("the proof has no valid jti")
    if isinstance(issued_at, bool) or not isinstance(issued_at, (int, float)):
        raise ProofError("the proof has no valid iat")
    if not abs(now - issued_at) <= WINDOW_SECONDS:
        raise ProofError("the proof is too old, or from the future")
    if claims.get("htm") != method or _without_query(claims.get("htu")) != url:
        raise ProofError("the proof is for another request")
    if access_token is not None and claims.get("ath") != token_hash(access_token):
        raise ProofError("the proof is for another token")
    return Proof(key.thumbprint(), jti)


def token_hash(access_token: str) -> str:
    """Returns the `ath` of a token: SHA-256 in base64url."""
    digest = hashlib.sha256(access_token.encode("utf-8", "surrogatepass")).digest()
    return urlsafe_b64encode(digest).rstrip(b"=").decode()


def _read_key(header: dict[str, Any]) -> RSAKey | ECKey:
    if header.get("typ") != "dpop+jwt" or header.get("alg") not in ALGORITHMS or "crit" in header:
        raise ProofError("the proof's type or algorithm is not acceptable")
    jwk = header.get("jwk")
    if not isinstance(jwk, dict) or _PRIVATE & jwk.keys():
        raise ProofError("the proof has no public key")
    kind: type[RSAKey] | type[ECKey] = RSAKey if header["alg"].startswith("RS") else ECKey
    # A key id or use beside the key says nothing here, and must not change the thumbprint's input.
    return kind.import_key(
        {name: jwk[name] for name in ("kty", "crv", "x", "y", "n", "e") if name in jwk}
    )


def _without_query(url: object) -> str:
    return url.partition("#")[0].partition("?")[0] if isinstance(url, str) else ""


class ReplayMemory:
    """Remembers the proofs of the last minutes, a bounded number of them."""

    def __init__(self) -> None:
        self._expires_at: OrderedDict[tuple[str, str], float] = OrderedDict()

    def is_new(self, proof: Proof, now: float) -> bool:
        """Tells whether the proof was not seen before, and remembers it."""
        while self._expires_at and (
            len(self._expires_at) >= MAX_REMEMBERED_PROOFS
            or next(iter(self._expires_at.values())) < now
        ):
            self._expires_at.popitem(last=False)

        name = (proof.thumbprint, proof.jti)
        if name in self._expires_at:
            return False
        self._expires_at[name] = now + 2 * WINDOW_SECONDS
        return True
