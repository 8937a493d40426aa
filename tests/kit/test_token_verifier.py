import asyncio
import base64
import hmac
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from apps.kit import token_verifier as tokens_module
from apps.kit.claims import ACCESS_TOKEN_SECONDS
from apps.kit.dpop import token_hash
from apps.kit.errors import Unauthorized, Unavailable
from apps.kit.revocations import Revocations, parse_revocations
from apps.kit.token_verifier import (
    KEYS_PERIOD_SECONDS,
    UNKNOWN_KEY_PERIOD_SECONDS,
    Verifier,
    keep_fresh,
)
from apps.kit.verifier_source import REQUEST_TIMEOUT_SECONDS

ISSUER = "https://health.example"
RSA = RSAKey.generate_key(2048, {"kid": "rsa-1", "alg": "RS256", "use": "sig"})
OTHER = RSAKey.generate_key(2048, {"kid": "rsa-2", "alg": "RS256", "use": "sig"})
EC = ECKey.generate_key("P-256", {"kid": "ec-1", "alg": "ES256", "use": "sig"})
Key = RSAKey | ECKey


@dataclass
class FakeAuth:
    keys: list[Key] = field(default_factory=lambda: [RSA, EC])
    revocations: Revocations = field(default_factory=Revocations)
    down: bool = False
    keys_asked: int = 0

    async def fetch_keys(self) -> Any:
        self.keys_asked += 1
        if self.down:
            raise aiohttp.ClientConnectionError()
        return {"keys": [key.as_dict(private=False) for key in self.keys]}

    async def fetch_revocations(self) -> Revocations:
        if self.down:
            raise aiohttp.ClientConnectionError()
        return self.revocations


class Clock:
    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


def sign(key: Key = RSA, header: dict[str, Any] | None = None, **changes: Any) -> str:
    now = int(time.time())
    claims = {
        "iss": ISSUER,
        "aud": ISSUER,
        "sub": "user-1",
        "client_id": "client-1",
        "jti": "token-1",
        "iat": now,
        "exp": now + 600,
        "scope": "user/Patient.rs billing.read",
        "roles": ["billing"],
        "family": "family-1",
    }
    claims = {name: value for name, value in {**claims, **changes}.items() if value is not None}
    algorithm = "RS256" if isinstance(key, RSAKey) else "ES256"
    header = {"alg": algorithm, "kid": key.kid, "typ": "at+jwt", **(header or {})}
    return jwt.encode(
        {k: v for k, v in header.items() if v is not None},
        claims,
        key,
        [algorithm],
        default_type=None,
    )


async def make_verifier(auth: FakeAuth | None = None, clock: Clock | None = None) -> Verifier:
    verifier = Verifier(ISSUER, (ISSUER, "billing"), auth or FakeAuth(), clock or time.time)
    await verifier.refresh()
    return verifier


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


async def test_token_seen_before_is_refused_once_its_key_is_withdrawn() -> None:
    auth, clock = FakeAuth(), Clock()
    verifier = await make_verifier(auth, clock)
    token = sign(RSA)
    await verifier.verify(token)
    auth.keys = [EC]
    clock.now += KEYS_PERIOD_SECONDS
    await verifier.refresh()
    with pytest.raises(Unauthorized):
        await verifier.verify(token)


async def test_new_key_is_found_without_waiting_for_the_poll() -> None:
    auth, clock = FakeAuth(), Clock()
    verifier = await make_verifier(auth, clock)
    auth.keys = [RSA, EC, OTHER]
    clock.now += UNKNOWN_KEY_PERIOD_SECONDS
    await verifier.verify(sign(OTHER))
    await verifier.verify(sign(RSA))


async def test_flood_of_unknown_keys_asks_auth_once_a_period() -> None:
    auth, clock = FakeAuth(), Clock()
    verifier = await make_verifier(auth, clock)
    clock.now += UNKNOWN_KEY_PERIOD_SECONDS
    for number in range(50):
        with pytest.raises(Unauthorized):
            await verifier.verify(sign(OTHER, {"kid": f"made-up-{number}"}))
    assert auth.keys_asked == 2


class HangingAuth(FakeAuth):
    """Takes a request for keys and answers none until `give_up`; each lasts as long
    as the time-out.
    """

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock
        self.asked, self.give_up = asyncio.Event(), asyncio.Event()

    async def fetch_keys(self) -> Any:
        self.keys_asked += 1
        if self.keys_asked > 1:
            self.asked.set()
            await self.give_up.wait()
            self.clock.now += REQUEST_TIMEOUT_SECONDS
            raise TimeoutError
        return {"keys": [key.as_dict(private=False) for key in self.keys]}


async def test_unknown_keys_wait_for_one_attempt_together_and_the_poll_waits_for_no_more() -> None:
    clock = Clock()
    auth = HangingAuth(clock)
    verifier = await make_verifier(auth, clock)
    clock.now += KEYS_PERIOD_SECONDS
    waiting = [
        asyncio.create_task(verifier.verify(sign(OTHER, {"kid": f"made-up-{n}"}))) for n in range(5)
    ]
    await asyncio.wait_for(auth.asked.wait(), 5)
    poll = asyncio.create_task(verifier.refresh())
    # Whoever asked first hangs up: the others still have the outcome of the attempt.
    waiting[0].cancel()
    await asyncio.sleep(0)
    auth.give_up.set()
    outcomes = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 5)
    await asyncio.wait_for(poll, 5)
    assert [type(outcome) for outcome in outcomes] == [asyncio.CancelledError, *[Unauthorized] * 4]
    assert auth.keys_asked == 2
    with pytest.raises(Unauthorized):
        await verifier.verify(sign(OTHER, {"kid": "made-up"}))
    assert auth.keys_asked == 2


async def test_attempt_that_hangs_ends_with_the_verifier() -> None:
    clock = Clock()
    auth = HangingAuth(clock)
    async with keep_fresh(await make_verifier(auth, clock)) as verifier:
        clock.now += UNKNOWN_KEY_PERIOD_SECONDS
        waiting = asyncio.create_task(verifier.verify(sign(OTHER)))
        await asyncio.wait_for(auth.asked.wait(), 5)
    assert verifier._keys_attempt is None
    await asyncio.wait([waiting], timeout=5)
    assert waiting.cancelled()


async def test_keys_serve_while_auth_is_down_until_revocations_are_too_old() -> None:
    auth, clock = FakeAuth(), Clock()
    verifier = await make_verifier(auth, clock)
    auth.down = True
    clock.now += ACCESS_TOKEN_SECONDS - 1
    await verifier.refresh()
    await verifier.verify(sign(exp=int(clock.now) + 600))
    assert verifier.has_keys and verifier.degraded == ("auth",)
    clock.now += 2
    with pytest.raises(Unavailable):
        await verifier.verify(sign(exp=int(clock.now) + 600))
    auth.down = False
    await verifier.refresh()
    await verifier.verify(sign(exp=int(clock.now) + 600))
    assert not verifier.degraded


async def test_without_keys_ever_everything_is_unavailable() -> None:
    verifier = await make_verifier(FakeAuth(down=True))
    assert not verifier.has_keys
    with pytest.raises(Unavailable):
        await verifier.verify(sign())


async def test_tokens_held_are_bounded_in_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens_module, "MAX_CACHED_TOKENS", 3)
    verifier = await make_verifier()
    for number in range(10):
        await verifier.verify(sign(jti=str(number)))
    assert len(verifier._cache) == 3


async def test_symmetric_and_nameless_keys_of_a_set_are_left_out() -> None:
    class OddAuth(FakeAuth):
        async def fetch_keys(self) -> Any:
            secret = {"kty": "oct", "k": "c2VjcmV0", "kid": "oct-1", "alg": "HS256"}
            nameless = {k: v for k, v in OTHER.as_dict(private=False).items() if k != "kid"}
            return {
                "keys": [
                    secret,
                    nameless,
                    {"kty": "RSA", "kid": "x", "alg": "RS256"},
                    RSA.as_dict(private=False),
                ]
            }

    verifier = await make_verifier(OddAuth())
    assert list(verifier._keys) == ["rsa-1"]


@pytest.mark.parametrize(
    "document", [[], {}, {"tokens": []}, {"tokens": [], "subjects": {"a": "b"}}, None]
)
def test_malformed_list_of_revocations_is_refused(document: Any) -> None:
    with pytest.raises(ValueError, match="not a list"):
        parse_revocations(document)


def test_revocations_survive_the_way_through_json() -> None:
    revocations = Revocations(frozenset({"b", "a"}), {"s": 1}, {"c": 2}, {"f": 3})
    assert parse_revocations(revocations.as_json()) == revocations


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
