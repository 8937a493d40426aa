"""The newest key encrypts, and each decrypts what it encrypted."""

import base64

import pytest

from apps.auth import encryption
from apps.console.web import encryption as console_encryption
from apps.kit.encryption_keys import each_key, newest_key, read_keys
from apps.kit.settings import Environment, SettingsError

OLD, NEW = b"o" * 32, b"n" * 32


def encoded(key: bytes) -> str:
    return base64.urlsafe_b64encode(key).decode()


def read(value: str) -> bytes:
    env = Environment({"KEY": value})
    keys = read_keys(env, "KEY")
    env.check()
    return keys


def test_one_key_or_two_are_read_the_newest_first() -> None:
    assert each_key(read(encoded(NEW))) == [NEW]
    assert each_key(read(f"{encoded(NEW)},{encoded(OLD)}")) == [NEW, OLD]
    assert newest_key(read(f"{encoded(NEW)},{encoded(OLD).rstrip('=')}")) == NEW


@pytest.mark.parametrize(
    "value",
    [
        encoded(b"short"),
        f"{encoded(NEW)},",
        f"{encoded(NEW)},{encoded(b'short')}",
        ",".join([encoded(NEW)] * 3),
        "!" * 44,
    ],
)
def test_other_values_are_refused(value: str) -> None:
    with pytest.raises(SettingsError, match="KEY must be 32 bytes in base64url"):
        read(value)


def test_auth_reads_what_the_key_before_encrypted() -> None:
    sealed = encryption.encrypt(OLD, b"secret", "row")
    assert encryption.decrypt(NEW + OLD, sealed, "row") == b"secret"
    made = encryption.encrypt(NEW + OLD, b"secret", "row")
    assert encryption.decrypt(NEW, made, "row") == b"secret"
    with pytest.raises(encryption.DecryptionError):
        encryption.decrypt(NEW, sealed, "row")
    with pytest.raises(encryption.DecryptionError):
        encryption.decrypt(NEW + OLD, sealed, "another row")


def test_the_console_reads_what_the_key_before_encrypted() -> None:
    sealed = console_encryption.encrypt(OLD, b"tokens", b"row")
    assert console_encryption.decrypt(NEW + OLD, sealed, b"row") == b"tokens"
    made = console_encryption.encrypt(NEW + OLD, b"tokens", b"row")
    assert console_encryption.decrypt(NEW, made, b"row") == b"tokens"
    assert console_encryption.decrypt(NEW, sealed, b"row") is None
