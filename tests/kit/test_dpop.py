"""DPoP proofs: what is accepted, and everything that a thief of a token might send
in place of one.
"""

import json
import time
from base64 import urlsafe_b64encode
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, RSAKey

from apps.kit.dpop import (
    MAX_PROOF_CHARS,
    MAX_REMEMBERED_PROOFS,
    WINDOW_SECONDS,
    Proof,
    ProofError,
    ReplayMemory,
    read_proof,
    token_hash,
)

URL = "https://health.example/fhir/R4/Patient"
NOW = time.time()
EC = ECKey.generate_key("P-256")
RSA = RSAKey.generate_key(2048)


def make_proof(key: Any = EC, *, alg: str = "ES256", header: Any = None, **changes: Any) -> str:
    claims = {"jti": "j1", "htm": "GET", "htu": URL, "iat": NOW, "ath": token_hash("t"), **changes}
    claims = {name: value for name, value in claims.items() if value is not None}
    public = {"jwk": key.as_dict(private=False)} if not isinstance(key, OctKey) else {}
    return jwt.encode(
        {"typ": "dpop+jwt", "alg": alg, **public, **(header or {})}, claims, key, [alg]
    )


def read(text: str, **changes: Any) -> Proof:
    arguments = {"method": "GET", "url": URL, "now": NOW, "access_token": "t", **changes}
    return read_proof(text, **arguments)


@pytest.mark.parametrize(("key", "alg"), [(EC, "ES256"), (RSA, "RS256"), (RSA, "RS384")])
def test_proof_shows_the_key_that_signed(key: Any, alg: str) -> None:
    assert read(make_proof(key, alg=alg)) == Proof(key.thumbprint(), "j1")


def test_longest_proof_is_read() -> None:
    # Three characters of the claims are four of the proof.
    padding = (MAX_PROOF_CHARS - len(make_proof(padding=""))) * 3 // 4
    proofs = [make_proof(padding="x" * (padding + more)) for more in range(-2, 3)]
    (longest,) = (proof for proof in proofs if len(proof) == MAX_PROOF_CHARS)
    assert read(longest).jti == "j1"
    with pytest.raises(ProofError, match="too long"):
        read(longest + "x")


@pytest.mark.parametrize("seconds", [-WINDOW_SECONDS, WINDOW_SECONDS])
def test_proof_is_good_to_the_end_of_its_window(seconds: float) -> None:
    assert read(make_proof(iat=NOW + seconds)).jti == "j1"


def test_query_and_fragment_of_the_url_do_not_count() -> None:
    assert read(make_proof(htu=URL + "?name=a#b")).jti == "j1"


@pytest.mark.parametrize(
    "changes",
    [
        {"htm": "POST"},
        {"htu": "https://evil.example/fhir/R4/Patient"},
        {"htu": URL + "/1"},
        {"htu": None},
        {"htu": 1},
        {"ath": token_hash("other")},
        {"ath": None},
        {"jti": None},
        {"jti": ""},
        {"jti": "x" * 257},
        {"jti": 1},
        {"iat": NOW - WINDOW_SECONDS - 1},
        {"iat": NOW + WINDOW_SECONDS + 1},
        {"iat": None},
        {"iat": True},
        {"iat": "now"},
        {"iat": float("nan")},
        {"header": {"typ": "JWT"}},
        {"header": {"jwk": EC.as_dict(private=True)}},
        {"header": {"jwk": ECKey.generate_key("P-256").as_dict(private=False)}},
        {"header": {"jwk": {}}},
        {"x": "y" * 5000},
    ],
)
def test_proof_for_anything_else_is_refused(changes: dict[str, Any]) -> None:
    text = make_proof(**changes)
    with pytest.raises(ProofError):
        read(text)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"crit": ["x"], "x": 1, "jwk": EC.as_dict(private=False)}, "algorithm"),
        ({"jwk": []}, "no public key"),
        ({"jwk": None}, "no public key"),
        ({}, "no public key"),
    ],
)
def test_header_that_the_library_would_not_write_is_refused(
    header: dict[str, Any], message: str
) -> None:
    parts = ({"typ": "dpop+jwt", "alg": "ES256", **header}, {"jti": "j1"})
    encoded = [urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts]
    with pytest.raises(ProofError, match=message):
        read(".".join([*encoded, "A" * 86]))


@pytest.mark.parametrize("text", ["", "a", "a.b.c", "..", "ä.ö.ü", "e30.e30.e30"])
def test_text_that_is_no_token_is_refused(text: str) -> None:
    with pytest.raises(ProofError):
        read(text)


def test_symmetric_key_is_refused() -> None:
    key = OctKey.generate_key(256)
    with pytest.raises(ProofError):
        read(make_proof(key, alg="HS256", header={"jwk": key.as_dict()}))


def test_proof_is_new_once_and_the_memory_is_bounded() -> None:
    memory = ReplayMemory()
    assert memory.is_new(Proof("k", "1"), 0.0) and not memory.is_new(Proof("k", "1"), 1.0)
    assert memory.is_new(Proof("other", "1"), 1.0)
    for number in range(MAX_REMEMBERED_PROOFS):
        memory.is_new(Proof("k", f"n{number}"), 2.0)
    assert len(memory._expires_at) == MAX_REMEMBERED_PROOFS
    assert memory.is_new(Proof("k", "n5"), 3 * WINDOW_SECONDS)
    assert len(memory._expires_at) == 1


def test_proof_from_the_future_is_remembered_for_as_long_as_it_could_be_sent_again() -> None:
    text = make_proof(iat=NOW + WINDOW_SECONDS)
    memory = ReplayMemory()
    assert memory.is_new(read(text), NOW)

    # The last moment at which its time is still accepted.
    last = NOW + 2 * WINDOW_SECONDS
    assert not memory.is_new(read(text, now=last), last)
