"""Sign-ins by the organization's provider under way, and whose accounts it made."""

from apps.auth.encryption import digest, new_token
from apps.auth.people.external import ExternalPerson, ExternalProvider, ExternalSignIn
from apps.auth.people.users import (
    User,
    create_user,
    select_active_user,
    select_user_by_email,
    update_user,
)
from apps.kit.database import Connection
from apps.kit.errors import Conflict

SIGN_IN_LIFE_SECONDS = 10 * 60


async def insert_external_sign_in(
    connection: Connection, browser: str, query: str
) -> tuple[str, ExternalSignIn]:
    """Starts a sign-in of this browser; returns its `state`, and what the answer is
    checked against.
    """
    state = new_token()
    begun = ExternalSignIn(nonce=new_token(), verifier=new_token(), next=query)
    await connection.execute(
        "INSERT INTO external_sign_ins (state_hash, browser_hash, nonce, verifier, next, "
        "expires_at) "
        "VALUES ($1, $2, $3, $4, $5, now() + make_interval(secs => $6))",
        digest(state),
        digest(browser),
        begun.nonce,
        begun.verifier,
        begun.next,
        float(SIGN_IN_LIFE_SECONDS),
    )
    return state, begun


async def use_external_sign_in(
    connection: Connection, state: str, browser: str
) -> ExternalSignIn | None:
    """Returns the sign-in that this browser began, once; None for any other `state`."""
    row = await connection.fetchrow(
        "DELETE FROM external_sign_ins WHERE state_hash = $1 AND browser_hash = $2 "
        "AND expires_at > now() RETURNING nonce, verifier, next",
        digest(state),
        digest(browser),
    )
    return ExternalSignIn(**row) if row else None


async def is_external(connection: Connection, user_id: str) -> bool:
    """Tells whether a provider made the user."""
    return bool(
        await connection.fetchval(
            "SELECT true FROM external_identities WHERE user_id = $1 LIMIT 1", user_id
        )
    )


async def check_own_password(connection: Connection, user: User) -> None:
    """Raises Conflict where a provider made the user: a password would outlast the provider's
    word, which says who they are and when they leave.
    """
    if await is_external(connection, user.id):
        raise Conflict(
            "external_account", "this person signs in by the organization and has no password here"
        )


async def select_user_id(connection: Connection, issuer: str, subject: str) -> str | None:
    """Returns the id of the user whom the provider made for this subject."""
    user_id = await connection.fetchval(
        "SELECT user_id FROM external_identities WHERE issuer = $1 AND subject = $2 FOR UPDATE",
        issuer,
        subject,
    )
    return str(user_id) if user_id else None


async def user_of_person(
    connection: Connection, provider: ExternalProvider, person: ExternalPerson
) -> tuple[User | None, bool]:
    """Returns the person's user, made or brought up to date from the claims, and whether
    roles changed.

    None if refused. Refused are: nobody with a role, disabled users, and an address that a user
    has whom the provider did not make: an account must not pass to whoever has the same address
    at the provider.
    """
    if not person.roles:
        return None, False
    user_id = await select_user_id(connection, provider.issuer, person.subject)
    if user_id is not None:
        user = await select_active_user(connection, user_id)
        if user is None or (user.roles == person.roles and user.name == (person.name or user.name)):
            return user, False
        changed = await update_user(
            connection,
            user.id,
            name=person.name or user.name,
            roles=person.roles,
            patient_id=None,
            practitioner_id=user.practitioner_id,
            disabled=False,
        )
        return changed, changed.roles != user.roles

    if await select_user_by_email(connection, person.email) is not None:
        return None, False
    user = await create_user(connection, email=person.email, name=person.name, roles=person.roles)
    await connection.execute(
        "INSERT INTO external_identities (issuer, subject, user_id) VALUES ($1, $2, $3)",
        provider.issuer,
        person.subject,
        user.id,
    )
    return user, False
