import secrets
from typing import Any

import pytest

from apps.auth.encryption import digest
from apps.auth.people.devices import is_known_device

pytestmark = pytest.mark.integration


async def test_browser_is_known_for_its_person_and_its_time_alone(connection: Any) -> None:
    one, other = [
        await connection.fetchval(
            "INSERT INTO users (id, email, email_key, roles) "
            "VALUES (gen_random_uuid(), $1, $1, '{clinician}') RETURNING id::text",
            f"{secrets.token_hex(6)}@example.org",
        )
        for _ in range(2)
    ]
    await connection.execute(
        "INSERT INTO known_devices (token_hash, user_id, expires_at) "
        "VALUES ($1, $2, now() + interval '1 second')",
        digest("browser"),
        one,
    )
    assert await is_known_device(connection, "browser", one)
    assert not await is_known_device(connection, "browser", other)
    assert not await is_known_device(connection, "another", one)
    assert not await is_known_device(connection, "", one)
    await connection.execute("UPDATE known_devices SET expires_at = now() WHERE user_id = $1", one)
    assert not await is_known_device(connection, "browser", one)
