"""How often somebody is sent a mail with a link, whoever asks for it: nobody's mailbox is
flooded by us.
"""

from apps.auth.encryption import digest
from apps.auth.people.user_fields import email_key
from apps.kit.database import Connection

MAX_MAILS = 5
PERIOD_SECONDS = 60 * 60


async def may_mail(
    connection: Connection,
    what: str,
    *,
    user_id: str,
    recipient: str,
    most: int = MAX_MAILS,
    seconds: int = PERIOD_SECONDS,
) -> bool:
    """Counts a mail for the user and for the recipient; False if either had `most`
    within `seconds`.

    `what`: the kind of mail, each of which is counted apart. The period begins with the first mail.
    """
    # In one order: two transactions that count the same pair do not wait for each other.
    keys = sorted({digest(f"{what}:{user_id}"), digest(f"{what}:{email_key(recipient)}")})
    rows = await connection.fetch(
        "INSERT INTO mail_counts AS had (key, mails, expires_at) "
        "SELECT key, 1, now() + make_interval(secs => $2) FROM unnest($1::bytea[]) AS key "
        "ON CONFLICT (key) DO UPDATE SET "
        "mails = CASE WHEN had.expires_at <= now() THEN 1 ELSE had.mails + 1 END, "
        "expires_at = CASE WHEN had.expires_at <= now() THEN excluded.expires_at ELSE "
        "had.expires_at END "
        "RETURNING mails",
        keys,
        float(seconds),
    )
    return all(row["mails"] <= most for row in rows)
