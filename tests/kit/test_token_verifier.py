import base64
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from joserfc import jwt
from joserfc.jwk import ECKey

from apps.kit import token_verifier as tokens_module
from apps.kit.dpop import token_hash
from apps.kit.errors import Unauthorized
from apps.kit.revocations import Revocations
from apps.kit.token_verifier import Verifier
from tests.kit.signed_tokens import (
    EC,
    ISSUER,
    OTHER,
    RSA,
    Clock,
    FakeAuth,
    Key,
    make_verifier,
    sign,
)


@pytest.mark.parametrize("key", [RSA, EC])
async def test_valid_token_gives_its_principal(key: Key) -> None:
    verifier = await make_verifier()
    principal = await verifier.verify(sign(key, patient="p-1"))
    assert (principal.subject, principal.client_id, principal.audience) == (
        "user-1",
        "client-1",
        ISSUER,
    )
    assert principal.scopes == {"user/Patient.rs", "billing.read"}
    assert (principal.patient_id, principal.family, principal.roles) == (
        "p-1",
        "family-1",
        ("billing",),
    )


NOW = int(time.time())
BAD_CLAIMS: dict[str, dict[str, Any]] = {
    "another issuer": {"iss": "https://evil.example"},
    "issuer with a slash": {"iss": ISSUER + "/"},
    "no issuer": {"iss": None},
    "another audience": {"aud": "analytics"},
    "audience list without ours": {"aud": ["analytics", "patient"]},
    "no audience": {"aud": None},
    "expired": {"exp": NOW - 1},
    "no expiry": {"exp": None},
    "expiry as text": {"exp": "9999999999"},
    "expiry true": {"exp": True},
    "expiry beyond numbers": {"exp": 1e300},
    "not valid yet": {"nbf": NOW + 3600},
    "issued in the future": {"iat": NOW + 3600},
    "no subject": {"sub": None},
    "no token id": {"jti": None},
    "no client": {"client_id": None},
    "subject a number": {"sub": 7},
    "scope a list": {"scope": ["admin"]},
    "roles a text": {"roles": "admin"},
    "patient a list": {"patient": ["p-1"]},
}


@pytest.mark.parametrize("name", BAD_CLAIMS)
async def test_token_with_bad_claims_is_refused(name: str) -> None:
    verifier = await make_verifier()
    with pytest.raises(Unauthorized):
        await verifier.verify(sign(**BAD_CLAIMS[name]))


def encode(value: bytes | dict[str, Any]) -> str:
    raw = json.dumps(value).encode() if isinstance(value, dict) else value
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def forge(sign_bytes: Callable[[bytes], bytes], **header: Any) -> str:
    """A token put together by hand, since no library makes these."""
    now = int(time.time())
    claims = {
        "iss": ISSUER,
        "aud": ISSUER,
        "sub": "u",
        "client_id": "c",
        "jti": "j",
        "iat": now,
        "exp": now + 600,
    }
    signed = f"{encode({'kid': 'rsa-1', 'typ': 'at+jwt', **header})}.{encode(claims)}"
    return f"{signed}.{encode(sign_bytes(signed.encode()))}"


def rsa_signature(signed: bytes) -> bytes:
    assert RSA.private_key
    return RSA.private_key.sign(signed, PKCS1v15(), SHA256())


def public_key_mac(signed: bytes) -> bytes:
    return hmac.digest(RSA.as_pem(private=False), signed, "sha256")


def tampered() -> str:
    head, _, signature = sign().split(".")
    return f"{head}.{sign(roles=['admin']).split('.')[1]}.{signature}"


BAD_TOKENS: dict[str, Callable[[], str]] = {
    "alg none": lambda: forge(lambda _: b"", alg="none"),
    "alg None": lambda: forge(lambda _: b"", alg="None"),
    "alg HS256 keyed with the public key": lambda: forge(public_key_mac, alg="HS256"),
    "another alg of the family": lambda: forge(rsa_signature, alg="RS512"),
    "ES256 named for an RSA key": lambda: sign(EC, {"kid": "rsa-1"}),
    "typ JWT": lambda: sign(header={"typ": "JWT"}),
    "no typ": lambda: sign(header={"typ": None}),
    "no kid": lambda: sign(header={"kid": None}),
    "kid of another key": lambda: sign(OTHER, {"kid": "rsa-1"}),
    "unknown crit": lambda: forge(rsa_signature, alg="RS256", crit=["x"], x=1),
    "tampered payload": tampered,
    "no signature": lambda: sign().rsplit(".", 1)[0] + ".",
    "two parts": lambda: sign().rsplit(".", 1)[0],
    "not ASCII": lambda: "é.ü.ß",
    "empty": lambda: "",
    "dots": lambda: "..",
    "very long": lambda: "a" * 100_000,
}


@pytest.mark.parametrize("name", BAD_TOKENS)
async def test_forged_or_malformed_token_is_refused(name: str) -> None:
    verifier = await make_verifier()
    with pytest.raises(Unauthorized):
        await verifier.verify(BAD_TOKENS[name]())


async def test_token_forged_by_hand_is_good_where_nothing_is_wrong_with_it() -> None:
    verifier = await make_verifier()
    assert (await verifier.verify(forge(rsa_signature, alg="RS256"))).subject == "u"


async def test_key_embedded_in_the_header_is_not_used() -> None:
    verifier = await make_verifier()
    with pytest.raises(Unauthorized):
        await verifier.verify(sign(OTHER, {"kid": "rsa-1", "jwk": OTHER.as_dict(private=False)}))


async def test_token_seen_before_is_refused_once_it_has_expired() -> None:
    clock = Clock()
    verifier = await make_verifier(clock=clock)
    token = sign()
    await verifier.verify(token)
    clock.now += 599
    await verifier.refresh()
    await verifier.verify(token)
    clock.now += 2
    with pytest.raises(Unauthorized):
        await verifier.verify(token)


@pytest.mark.parametrize(
    "revocations",
    [
        Revocations(tokens=frozenset({"token-1"})),
        Revocations(subjects={"user-1": NOW + 3600}),
        Revocations(clients={"client-1": NOW + 3600}),
        Revocations(families={"family-1": NOW + 3600}),
    ],
)
async def test_revoked_token_is_refused_though_it_was_seen_before(revocations: Revocations) -> None:
    auth = FakeAuth()
    verifier = await make_verifier(auth)
    token, other = (
        sign(),
        sign(jti="token-2", sub="user-2", client_id="client-2", family="family-2"),
    )
    await verifier.verify(token)
    auth.revocations = revocations
    await verifier.refresh()
    with pytest.raises(Unauthorized):
        await verifier.verify(token)
    await verifier.verify(other)


async def test_tokens_issued_after_a_subject_was_revoked_are_good() -> None:
    auth = FakeAuth(revocations=Revocations(subjects={"user-1": NOW - 5}))
    verifier = await make_verifier(auth)
    await verifier.verify(sign())
    with pytest.raises(Unauthorized):
        await verifier.verify(sign(iat=NOW - 5))


async def test_tokens_held_are_bounded_in_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens_module, "MAX_CACHED_TOKENS", 3)
    verifier = await make_verifier()
    for number in range(10):
        await verifier.verify(sign(jti=str(number)))
    assert len(verifier._cache) == 3


def make_proof(token: str, clock: Clock, key: ECKey = EC, **changes: Any) -> str:
    claims = {
        "jti": "proof-1",
        "htm": "GET",
        "htu": f"{ISSUER}/fhir/R4/Patient",
        "iat": clock.now,
        "ath": token_hash(token),
        **changes,
    }
    header = {"typ": "dpop+jwt", "alg": "ES256", "jwk": key.as_dict(private=False)}
    return jwt.encode(header, claims, key, ["ES256"])


async def prove(verifier: Verifier, token: str, *proofs: str) -> str:
    """Returns the subject, or why the token was refused."""
    try:
        principal = await verifier.verify_with_proof(
            token, proofs, method="GET", path="/fhir/R4/Patient"
        )
    except Unauthorized as error:
        return error.detail
    return principal.subject


async def test_token_that_is_bound_to_a_key_needs_a_proof_of_it_each_time() -> None:
    clock = Clock()
    verifier = await make_verifier(clock=clock)
    token = sign(cnf={"jkt": EC.thumbprint()})
    with pytest.raises(Unauthorized):
        await verifier.verify(token)

    assert await prove(verifier, token, make_proof(token, clock)) == "user-1"
    assert await prove(verifier, token, make_proof(token, clock)) == "the proof was used before"
    assert await prove(verifier, token, make_proof(token, clock, jti="proof-2")) == "user-1"


async def test_proof_by_another_key_or_of_another_request_is_refused() -> None:
    clock = Clock()
    verifier = await make_verifier(clock=clock)
    token = sign(cnf={"jkt": EC.thumbprint()})
    other_key = make_proof(token, clock, ECKey.generate_key("P-256"))
    assert await prove(verifier, token, other_key) == "bound to another key"
    for proof in (make_proof(token, clock, htm="POST"), make_proof("another token", clock)):
        assert (await prove(verifier, token, proof)).startswith("the proof is for another")

    needed = "this needs a bound token and one DPoP proof"
    two = (make_proof(token, clock), make_proof(token, clock, jti="proof-2"))
    assert await prove(verifier, token) == needed
    assert await prove(verifier, token, *two) == needed
    # A token without a key has nothing that a proof could show.
    assert await prove(verifier, sign(), make_proof(sign(), clock)) == needed
