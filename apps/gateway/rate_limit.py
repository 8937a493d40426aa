"""How much one client may ask for: a token bucket each, in a table that cannot grow without end.

The header fields are those of draft-ietf-httpapi-ratelimit-headers-10.
"""

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

MAX_CLIENTS = 10_000
WINDOW_SECONDS = 60


@dataclass(slots=True)
class Bucket:
    tokens: float
    filled_at: float


@dataclass(frozen=True, slots=True)
class Decision:
    """`remaining` requests may follow at once; the bucket is full again in `reset_seconds`."""

    allowed: bool
    remaining: int
    reset_seconds: int
    retry_after_seconds: int


class RateLimiter:
    """`requests` a minute for every key, per replica; a key at rest may spend a whole
    minute's at once.
    """

    def __init__(
        self,
        requests: int,
        clock: Callable[[], float] = time.monotonic,
        max_clients: int = MAX_CLIENTS,
    ):
        self._capacity = float(requests)
        self._per_second = requests / WINDOW_SECONDS
        self._clock = clock
        self._max_clients = max_clients
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()
        self.policy = f'"client";q={requests};w={WINDOW_SECONDS}'.encode()

    def take(self, key: str) -> Decision:
        now = self._clock()
        bucket = self._buckets.get(key)
        if bucket is None:
            if len(self._buckets) >= self._max_clients:
                # The one longest at rest is the fullest: what is forgotten with it is the least.
                self._buckets.popitem(last=False)
            bucket = self._buckets[key] = Bucket(self._capacity, now)
        else:
            self._buckets.move_to_end(key)
            bucket.tokens = min(
                self._capacity, bucket.tokens + (now - bucket.filled_at) * self._per_second
            )
            bucket.filled_at = now
        allowed = bucket.tokens >= 1.0
        if allowed:
            bucket.tokens -= 1.0
        return Decision(
            allowed,
            int(bucket.tokens),
            math.ceil((self._capacity - bucket.tokens) / self._per_second),
            0 if allowed else math.ceil((1.0 - bucket.tokens) / self._per_second),
        )


def rate_limit_header(decision: Decision) -> bytes:
    return b'"client";r=%d;t=%d' % (decision.remaining, decision.reset_seconds)
