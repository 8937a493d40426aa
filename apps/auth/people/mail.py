"""Mail to the people of the platform: queued in the transaction of what it tells, sent afterwards.

A mail names no patient and holds no health data. Its link works once.
"""

from dataclasses import dataclass, field, replace
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid
from typing import Any

from apps.auth.encryption import decrypt, encrypt
from apps.auth.texts import Texts
from apps.kit.context import new_id
from apps.kit.database import Connection
from apps.kit.texts import N_

PRODUCT = N_("Patient management")
LOCK_IT = N_("If it was not you, ask your administrator at once to lock the account.")
# After this it is not sent any more: its link is void, its news are old.
MAIL_LIFE_HOURS = 24
FIRST_RETRY_SECONDS = 5
MAX_RETRY_SECONDS = 900
# What a replica of the previous release sends, which does not look for the sealed text.
UNREAD = "This mail was to hold a link. Please ask for it once more.\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class MailSettings:
    """`smtp_url`: `smtps://user:password@host:port` or `smtp://` with STARTTLS. `folder`:
    instead of a server.
    """

    smtp_url: str = field(default="", repr=False)
    sender: str = "no-reply@localhost"
    folder: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """A plain-text mail. `recipient` is one address."""

    recipient: str
    subject: str
    body: str


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuedMail:
    """A mail that waits. `sealed_body`: its text, encrypted, where it has a link."""

    id: str
    mail: Mail
    sealed_body: bytes | None = None


def invitation(texts: Texts, recipient: str, link: str) -> Mail:
    return _write(
        texts,
        recipient,
        N_("You are invited to {product}"),
        N_("An administrator made an account for you in {product}."),
        N_("Set your password here within 24 hours:\n{link}"),
        N_("If you did not expect this, ignore this mail: without you the account cannot be used."),
        link=link,
    )


def password_link(texts: Texts, recipient: str, link: str, life_hours: int) -> Mail:
    life = texts.ngettext("{count} hour", "{count} hours", life_hours)
    return _write(
        texts,
        recipient,
        N_("Set a new password"),
        N_("Somebody, probably you, asked for a new password in {product}."),
        N_("Set it here within {life}:\n{link}"),
        N_("If it was not you, ignore this mail: your password stays as it is."),
        link=link,
        life=life,
    )


def address_link(texts: Texts, recipient: str, link: str) -> Mail:
    return _write(
        texts,
        recipient,
        N_("Confirm your e-mail address"),
        N_("Confirm that this is your address in {product}, within 24 hours:\n{link}"),
        N_("If you did not ask for this, ignore this mail: nothing changes."),
        link=link,
    )


def address_changed(texts: Texts, recipient: str) -> Mail:
    return _write(
        texts,
        recipient,
        N_("Your e-mail address was changed"),
        N_("Your account in {product} now has another e-mail address."),
        LOCK_IT,
    )


def password_changed(texts: Texts, recipient: str) -> Mail:
    return _write(
        texts,
        recipient,
        N_("Your password was changed"),
        N_("Your account in {product} has a new password."),
        LOCK_IT,
    )


def factor_changed(texts: Texts, recipient: str, what: str) -> Mail:
    """Writes what happened: `what`, as `a passkey was added to it`."""
    return _write(
        texts,
        recipient,
        N_("Your sign-in methods were changed"),
        N_("Your account in {product} was changed: {what}."),
        LOCK_IT,
        what=texts.gettext(what),
    )


def new_sign_in(texts: Texts, recipient: str, device: str, address: str) -> Mail:
    return _write(
        texts,
        recipient,
        N_("New sign-in to your account"),
        N_(
            "Somebody, probably you, signed in to {product} from a browser that was not used "
            "before:\n{device}, address {address}."
        ),
        N_("If it was not you, change your password and sign out all sessions of your account."),
        device=device or texts.gettext("unknown browser"),
        address=address or texts.gettext("unknown"),
    )


def _write(texts: Texts, recipient: str, subject: str, *paragraphs: str, **values: str) -> Mail:
    """Returns the mail in the language of `texts`."""
    values["product"] = texts.gettext(PRODUCT)
    body = "\n\n".join(texts.gettext(each, **values) for each in paragraphs)
    return Mail(recipient=recipient, subject=texts.gettext(subject, **values), body=body + "\n")


def compose(queued: QueuedMail, sender: str, now: Any) -> EmailMessage:
    """Returns the message of RFC 5322; its Message-ID stays the same over retries."""
    message = EmailMessage()
    message["From"] = sender
    message["To"] = _recipient(queued.mail.recipient)
    message["Subject"] = queued.mail.subject
    message["Date"] = format_datetime(now)
    domain = sender.rpartition("@")[2].rstrip(">") or "localhost"
    message["Message-ID"] = make_msgid(idstring=queued.id, domain=domain)
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(queued.mail.body)
    return message


def _recipient(address: str) -> Address:
    """Returns the one address; raises ValueError for what could be read as several,
    or as a header.
    """
    local, _, domain = address.rpartition("@")
    if not address.isprintable() or set(address) & set(' ,;<>"()'):
        raise ValueError("not one address")
    return Address(username=local, domain=domain)


async def insert_mail(connection: Connection, mail: Mail) -> None:
    await connection.execute(
        "INSERT INTO mails (id, recipient, subject, body, expires_at) "
        "VALUES ($1, $2, $3, $4, now() + make_interval(hours => $5))",
        new_id(),
        mail.recipient,
        mail.subject,
        mail.body,
        MAIL_LIFE_HOURS,
    )


async def insert_mail_with_link(
    connection: Connection, mail: Mail, key: bytes, life_hours: int = MAIL_LIFE_HOURS
) -> None:
    """Queues a mail whose text nobody reads in the database; it is not sent after `life_hours`,
    when its link is void.
    """
    mail_id = new_id()
    await connection.execute(
        "INSERT INTO mails (id, recipient, subject, body, sealed_body, expires_at) "
        "VALUES ($1, $2, $3, $4, $5, now() + make_interval(hours => $6))",
        mail_id,
        mail.recipient,
        mail.subject,
        UNREAD,
        encrypt(key, mail.body.encode(), mail_purpose(mail_id)),
        life_hours,
    )


def mail_purpose(mail_id: str) -> str:
    """Returns the name of the row that a sealed text belongs to."""
    return f"mails.sealed_body:{mail_id}"


def unsealed(queued: QueuedMail, key: bytes) -> QueuedMail:
    """Returns the mail with its text. Raises DecryptionError."""
    if queued.sealed_body is None:
        return queued
    body = decrypt(key, queued.sealed_body, mail_purpose(queued.id)).decode()
    return replace(queued, mail=replace(queued.mail, body=body), sealed_body=None)


async def claim_mails(connection: Connection, limit: int, hold_seconds: float) -> list[QueuedMail]:
    """Returns mails that are due, and holds them for `hold_seconds`, so that one
    replica sends each.
    """
    rows = await connection.fetch(
        "UPDATE mails SET attempts = attempts + 1, due_at = now() + make_interval(secs => $2) "
        "WHERE id = ANY(ARRAY(SELECT id FROM mails WHERE due_at <= now() AND expires_at > now() "
        "ORDER BY due_at LIMIT $1 FOR UPDATE SKIP LOCKED)) "
        "RETURNING id, recipient, subject, body, sealed_body",
        limit,
        hold_seconds,
    )
    return [
        QueuedMail(
            id=str(row["id"]),
            mail=Mail(recipient=row["recipient"], subject=row["subject"], body=row["body"]),
            sealed_body=row["sealed_body"],
        )
        for row in rows
    ]


async def delete_mail(connection: Connection, mail_id: str) -> None:
    await connection.execute("DELETE FROM mails WHERE id = $1", mail_id)


async def postpone_mail(connection: Connection, mail_id: str) -> None:
    """Sets the next attempt: twice as late after each failure, at most MAX_RETRY_SECONDS."""
    await connection.execute(
        "UPDATE mails SET due_at = now() + make_interval(secs => "
        "least($3::float8, $2 * power(2, least(attempts - 1, 20)))) WHERE id = $1",
        mail_id,
        float(FIRST_RETRY_SECONDS),
        float(MAX_RETRY_SECONDS),
    )
