"""Sends queued mails: by SMTP over TLS, or into a folder where no server is set."""

import asyncio
import logging
import re
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

import aiosmtplib
import asyncpg

from apps.auth.encryption import DecryptionError
from apps.auth.people.mail import (
    MailSettings,
    QueuedMail,
    claim_mails,
    compose,
    delete_mail,
    postpone_mail,
    unsealed,
)
from apps.kit.database import Database
from apps.kit.errors import Problem

PERIOD_SECONDS = 1.0
BATCH = 20
SMTP_TIMEOUT_SECONDS = 15.0
HOLD_SECONDS = BATCH * SMTP_TIMEOUT_SECONDS

log = logging.getLogger(__name__)


class Transport(Protocol):
    async def send(self, message: EmailMessage, queued: QueuedMail) -> None:
        """Returns when the message was accepted; raises OSError or aiosmtplib.SMTPException."""
        ...


@dataclass(frozen=True, slots=True)
class SmtpTransport:
    """`url`: `smtps://user:password@host:465`, or `smtp://...:587`, which must offer STARTTLS."""

    url: str

    async def send(self, message: EmailMessage, queued: QueuedMail) -> None:
        parts = urlsplit(self.url)
        implicit = parts.scheme == "smtps"
        await aiosmtplib.send(
            message,
            hostname=parts.hostname,
            port=parts.port or (465 if implicit else 587),
            username=unquote(parts.username) if parts.username else None,
            password=unquote(parts.password) if parts.password else None,
            use_tls=implicit,
            start_tls=not implicit,
            tls_context=ssl.create_default_context(),
            timeout=SMTP_TIMEOUT_SECONDS,
        )


@dataclass(frozen=True, slots=True)
class FolderTransport:
    """Writes each mail as a `.eml` file and logs its link, for a platform on one machine."""

    folder: Path

    async def send(self, message: EmailMessage, queued: QueuedMail) -> None:
        await asyncio.to_thread(self._write, message, queued.id)
        link = re.search(r"https?://\S+", queued.mail.body)
        log.info("mail written", extra={"mail": queued.id, "link": link[0] if link else ""})

    def _write(self, message: EmailMessage, mail_id: str) -> None:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self.folder / f"{mail_id}.eml"
        path.write_bytes(message.as_bytes())
        path.chmod(0o600)


def make_transport(settings: MailSettings) -> Transport | None:
    """Returns how mails are sent, or None where neither a server nor a folder is set."""
    if settings.smtp_url:
        return SmtpTransport(settings.smtp_url)
    return FolderTransport(Path(settings.folder)) if settings.folder else None


async def send_due(database: Database, transport: Transport, sender: str, key: bytes) -> int:
    """Sends what is due, at most BATCH mails; returns how many were accepted.

    `key` opens those with a link.
    """
    async with database.connection() as connection:
        due = await claim_mails(connection, BATCH, HOLD_SECONDS)

    sent = 0
    for sealed in due:
        queued = sealed
        try:
            queued = unsealed(sealed, key)
            message = compose(queued, sender, datetime.now(UTC))
            await transport.send(message, queued)
        except (
            DecryptionError,
            OSError,
            ValueError,
            aiosmtplib.SMTPException,
        ) as error:
            log.warning("mail not sent", extra={"mail": queued.id, "error": type(error).__name__})
            async with database.connection() as connection:
                await postpone_mail(connection, queued.id)
        else:
            sent += 1
            async with database.connection() as connection:
                await delete_mail(connection, queued.id)
    return sent


async def keep_mailing(database: Database, settings: MailSettings, key: bytes) -> None:
    """Sends mails until it is cancelled. Without a transport they wait, and expire."""
    transport = make_transport(settings)
    if transport is None:
        log.warning("no mail is sent: neither AUTH_SMTP_URL nor AUTH_MAIL_FOLDER is set")
        return
    while True:
        try:
            sent = await send_due(database, transport, settings.sender, key)
        except (Problem, asyncpg.PostgresError) as error:
            log.warning("no look at the mails", extra={"error": type(error).__name__})
            sent = 0
        if sent < BATCH:
            await asyncio.sleep(PERIOD_SECONDS)
