"""Second factors of every kind, taken off an account whose owner lost them."""

from apps.auth.people.mail import factor_changed, insert_mail
from apps.auth.people.passkeys import delete_passkeys
from apps.auth.people.totp import remove_authenticator
from apps.auth.people.users import User
from apps.auth.texts import Texts
from apps.kit.database import Connection
from apps.kit.texts import N_


async def remove_second_factors(connection: Connection, user: User, texts: Texts) -> None:
    """Removes authenticator app, recovery codes and passkeys, and tells the user by mail."""
    await remove_authenticator(connection, user.id)
    await delete_passkeys(connection, user.id)
    what = N_("its second factor was removed")
    await insert_mail(connection, factor_changed(texts, user.email, what))
