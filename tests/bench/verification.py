"""What it costs to verify an access token, in microseconds: a new one and one seen before.

Targets: under 150 for a new one, under 10 for one seen before. Fails where the medians miss them.
"""

import asyncio
import statistics
import sys
import time
from typing import Any

from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from apps.kit.claims import Key
from apps.kit.revocations import Revocations
from apps.kit.token_verifier import Verifier
from tests.bench.arguments import make_parser

ISSUER = "https://health.example"
TOKENS = 1000
NEW_LIMIT_US = 150.0
SEEN_LIMIT_US = 10.0


class OneKey:
    def __init__(self, key: Key) -> None:
        self._key = key

    async def fetch_keys(self) -> Any:
        return {"keys": [self._key.as_dict(private=False)]}

    async def fetch_revocations(self) -> Revocations:
        """Of a busy day: looked at for every new token."""
        busy = {f"subject-{number}": 1 for number in range(1000)}
        return Revocations(frozenset(busy), busy, busy, busy)


def make_tokens(key: Key, algorithm: str) -> list[str]:
    now = int(time.time())
    claims = {
        "iss": ISSUER, "aud": ISSUER, "sub": "0198c2a4-0000-7000-8000-000000000000",
        "client_id": "bench",
        "iat": now, "exp": now + 600, "scope": "openid user/*.cruds billing.read",
        "roles": ["clinician"],
        "auth_time": now, "amr": ["pwd", "otp"], "family": "0198c2a4-0000-7000-8000-000000000001",
    }  # fmt: skip
    header = {"alg": algorithm, "kid": "bench", "typ": "at+jwt"}
    return [
        jwt.encode(header, {**claims, "jti": str(number)}, key, [algorithm])
        for number in range(TOKENS)
    ]


async def measure(key: Key, algorithm: str) -> tuple[float, float]:
    verifier = Verifier(ISSUER, (ISSUER,), OneKey(key))
    await verifier.refresh()
    tokens = make_tokens(key, algorithm)
    medians = []
    for _ in range(2):
        taken = []
        for token in tokens:
            started = time.perf_counter()
            await verifier.verify(token)
            taken.append(time.perf_counter() - started)
        medians.append(statistics.median(taken) * 1e6)
    return medians[0], medians[1]


def main() -> int:
    make_parser(__doc__).parse_args()
    keys: dict[str, Key] = {
        "RS256": RSAKey.generate_key(2048, {"kid": "bench", "use": "sig", "alg": "RS256"}),
        "ES256": ECKey.generate_key("P-256", {"kid": "bench", "use": "sig", "alg": "ES256"}),
    }
    failed = False
    for algorithm, key in keys.items():
        new, seen = asyncio.run(measure(key, algorithm))
        failed |= new > NEW_LIMIT_US or seen > SEEN_LIMIT_US
        print(
            f"{algorithm}: new {new:.0f} us (limit {NEW_LIMIT_US:.0f}), seen {seen:.2f} us (limit "
            f"{SEEN_LIMIT_US:.0f})"
        )
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
