"""Passwords: argon2id by OWASP's advice, off the event loop, a bounded number at once.

Source: https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html
"""

import asyncio
import os
import re
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from apps.kit.errors import FieldError, Unavailable, Unprocessable
from apps.kit.texts import N_

MEMORY_KIB = 19 * 1024
PASSES = 2
LANES = 1
MIN_PASSWORD_CHARS = 12
MAX_PASSWORD_CHARS = 256
# What a new password must be, as its error says; a page translates it.
LENGTH = N_("12 to 256 characters long")
STRENGTH = N_("something that is not easily guessed: a few words that do not belong together")
# Of zxcvbn: at least 10^8 guesses. Below are common passwords, repetitions, keyboard rows,
# dates and names.
MIN_STRENGTH = 3
# Its cost grows with the length: 20 ms for this many characters.
JUDGED_CHARS = 40
# What anybody would try here, beside the person's own name and address.
CONTEXT_WORDS = ("patient", "patients", "management", "hospital", "clinic", "health")
# One hash keeps one core busy for 20 ms: at least one core is left for everybody else.
WORKERS = max(1, (os.cpu_count() or 1) // 2)
MAX_WAITING = 64
# Hashing gives way to whatever else wants the processor.
WORKER_NICENESS = 10

T = TypeVar("T")

_hasher = PasswordHasher(time_cost=PASSES, memory_cost=MEMORY_KIB, parallelism=LANES)
# The time of a wrong password is spent on an unknown user too: this is the hash of
# nobody's password.
_NOBODY = _hasher.hash(os.urandom(16).hex())


def check_new_password(
    password: object, *, about: Iterable[str] = (), pointer: str = "/password"
) -> str:
    """Returns the password, or raises Unprocessable.

    NIST SP 800-63B: a minimal length, no composition rules, but none that is common, repeats itself
    or follows from what is known of the person. `about`: the person's e-mail address and name.
    """
    message = ""
    if (
        not isinstance(password, str)
        or not MIN_PASSWORD_CHARS <= len(password) <= MAX_PASSWORD_CHARS
    ):
        message = LENGTH
    elif is_easily_guessed(password, about):
        message = STRENGTH
    if message or not isinstance(password, str):
        raise Unprocessable(
            "invalid_password", message, faults=(FieldError("invalid_password", message, pointer),)
        )
    return password


def is_easily_guessed(password: str, about: Iterable[str]) -> bool:
    """Tells whether the password is common or built from words that are known of the person
    or the product.
    """
    from zxcvbn import zxcvbn  # its word lists take 12 MiB, and only a new password is judged

    words = [*CONTEXT_WORDS]
    for text in about:
        words += [text.lower(), *re.split(r"[\W_]+", text.lower())]
    judged = zxcvbn(password[:JUDGED_CHARS], user_inputs=[word for word in words if word])
    return int(judged["score"]) < MIN_STRENGTH


def hash_password(password: str) -> str:
    return _hasher.hash(_encode(password))


def verify_password(password_hash: str | None, password: str) -> bool:
    """Takes as long for no hash, which is False, as for a wrong password."""
    try:
        _hasher.verify(password_hash or _NOBODY, _encode(password))
    except (Argon2Error, InvalidHashError):
        return False
    return password_hash is not None


def _encode(password: str) -> bytes:
    return password.encode("utf-8", "surrogatepass")


class Hashing:
    """Runs hashes in threads of their own; raises Unavailable where too many wait already."""

    def __init__(self, workers: int = WORKERS, max_waiting: int = MAX_WAITING) -> None:
        self._executor = ThreadPoolExecutor(workers, "argon2", initializer=_give_way)
        self._max_waiting = max_waiting
        self._waiting = 0

    async def hash(self, password: str) -> str:
        return await self._run(lambda: hash_password(password))

    async def verify(self, password_hash: str | None, password: str) -> bool:
        return await self._run(lambda: verify_password(password_hash, password))

    async def check_new(self, password: str, about: Iterable[str]) -> str:
        """Does as `check_new_password`. Judging keeps a core as busy as hashing does."""
        return await self._run(lambda: check_new_password(password, about=about))

    async def _run(self, work: Callable[[], T]) -> T:
        if self._waiting >= self._max_waiting:
            raise Unavailable("too_busy", "too many sign-ins at once")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, work)
        finally:
            self._waiting -= 1

    def close(self) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)


def _give_way() -> None:
    # On Linux a niceness belongs to the thread; elsewhere this does without.
    with suppress(OSError, AttributeError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), WORKER_NICENESS)
