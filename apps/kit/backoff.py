"""Waiting times between attempts at something that fails."""

import random


class Backoff:
    """Grows the wait by `factor` from `first_seconds` to `longest_seconds`; takes up to `jitter` of
    each wait off.

    Jitter keeps replicas that failed together from trying again together.
    """

    def __init__(
        self,
        first_seconds: float,
        longest_seconds: float,
        *,
        factor: float = 2.0,
        jitter: float = 0.2,
    ) -> None:
        self._first_seconds = first_seconds
        self._longest_seconds = longest_seconds
        self._factor = factor
        self._jitter = jitter
        self._seconds = first_seconds

    def next_seconds(self) -> float:
        """Returns how long to wait now, and lengthens the next wait."""
        seconds = self._seconds
        self._seconds = min(seconds * self._factor, self._longest_seconds)
        return seconds * random.uniform(1.0 - self._jitter, 1.0)  # noqa: S311 - spreads load, hides nothing

    def reset(self) -> None:
        """Starts again at the first wait: an attempt succeeded."""
        self._seconds = self._first_seconds
