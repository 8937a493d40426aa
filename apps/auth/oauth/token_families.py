"""All tokens of one sign-in at one client: renewed and revoked one after the other."""

from apps.kit.database import Connection


async def lock_family(connection: Connection, family_id: str) -> None:
    """Locks it until the end of the transaction. Row locks would not do: a renewal's new row is not
    to be seen yet.
    """
    await connection.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended('family:' || $1, 0))", family_id
    )


async def hold_origin(connection: Connection, table: str, column: str, value: bytes) -> None:
    """Holds the user of a code or refresh token and then locks its family, always in this order,
    before it is read.

    A revocation waits for renewals under way and sees what they made; renewals after it see
    the revocation.
    """
    # Table and column are constants of the callers.
    row = await connection.fetchrow(
        f"SELECT origin.family_id FROM {table} AS origin JOIN users ON users.id = origin.user_id "  # noqa: S608
        f"WHERE origin.{column} = $1 FOR SHARE OF users",
        value,
    )
    if row:
        await lock_family(connection, str(row["family_id"]))
