import pytest

from apps.auth.people.passkeys import PasskeyError, read_credential


def test_credential_has_at_most_16_kib() -> None:
    assert read_credential(b"{}".ljust(16 * 1024)) == {}
    with pytest.raises(PasskeyError, match="too long"):
        read_credential(b"{}".ljust(16 * 1024 + 1))
