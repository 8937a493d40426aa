"""What an application is launched for (SMART App Launch 2.2): a patient and an encounter.

An EHR launch: the console asks for a `launch` value for the patient that the clinician has
open, and sends the browser to the application with it. The value is good once, for minutes, for
that clinician.
"""

from dataclasses import dataclass

from apps.auth.encryption import digest, new_token
from apps.kit.database import Connection

LAUNCH_LIFE_SECONDS = 5 * 60


@dataclass(frozen=True, slots=True)
class LaunchContext:
    """Nothing is set for an application that was not launched for a patient."""

    patient_id: str | None = None
    encounter_id: str | None = None


async def insert_launch(
    connection: Connection,
    *,
    user_id: str,
    patient_id: str,
    encounter_id: str | None,
    client_id: str | None,
) -> str:
    """Returns a new `launch` value. `client_id`: the only application that may use it."""
    secret = new_token()
    await connection.execute(
        "INSERT INTO launches (token_hash, user_id, client_id, patient_id, encounter_id, "
        "expires_at) "
        "VALUES ($1, $2, $3, $4, $5, now() + make_interval(secs => $6))",
        digest(secret),
        user_id,
        client_id,
        patient_id,
        encounter_id,
        float(LAUNCH_LIFE_SECONDS),
    )
    return secret


async def select_launch(
    connection: Connection, secret: str, *, user_id: str, client_id: str
) -> LaunchContext | None:
    """Returns what the value stands for, or None if it is unknown, used, too old, or for others.
    Locks the row.
    """
    row = await connection.fetchrow(
        "SELECT patient_id, encounter_id FROM launches WHERE token_hash = $1 AND user_id = $2 "
        "AND coalesce(client_id, $3) = $3 AND expires_at > now() FOR UPDATE",
        digest(secret),
        user_id,
        client_id,
    )
    return LaunchContext(row["patient_id"], row["encounter_id"]) if row else None


async def delete_launch(connection: Connection, secret: str) -> None:
    """Uses the value up, with the code that is issued for it."""
    await connection.execute("DELETE FROM launches WHERE token_hash = $1", digest(secret))
