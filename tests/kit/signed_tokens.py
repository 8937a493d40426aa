"""Tokens that tests sign, and an auth service that tells the keys to verify them."""

import time
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from apps.kit.revocations import Revocations
from apps.kit.token_verifier import Verifier

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
