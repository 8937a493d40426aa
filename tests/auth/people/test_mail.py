"""Mail is sent once, over TLS only, again after a failure, and into a folder where no
server is set.
"""

import asyncio
import datetime
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email import message_from_bytes, policy
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from apps.auth.people.mail import (
    Mail,
    MailSettings,
    QueuedMail,
    compose,
    insert_mail,
    insert_mail_with_link,
    postpone_mail,
)
from apps.auth.people.mail_sender import (
    FolderTransport,
    SmtpTransport,
    Transport,
    make_transport,
    send_due,
)
from apps.auth.reencryption import reencrypt_secrets
from apps.kit.database import Database, DatabaseSettings, open_database

pytestmark = pytest.mark.integration
KEY, NEWER_KEY = bytes(32), bytes([1] * 32)
HELLO = Mail(recipient="grace@example.org", subject="Hello", body="A link: https://x.example/y\n")


@pytest.fixture
async def database(make_database: object) -> AsyncIterator[Database]:
    with make_database("auth") as (runtime_url, _):  # type: ignore[operator]
        async with open_database(DatabaseSettings(runtime_url)) as opened:
            yield opened


async def queue(database: Database, *mails: Mail) -> None:
    async with database.transaction() as connection:
        for mail in mails:
            await insert_mail(connection, mail)


async def waiting(database: Database) -> int:
    async with database.connection() as connection:
        return int(await connection.fetchval("SELECT count(*) FROM mails"))


class Server:
    """An SMTP server that keeps what it is sent. With TLS from the start, or without any."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.logins = 0
        self.refuses = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 test ESMTP\r\n")
        while line := await reader.readline():
            verb = line.split()[0].upper()
            if verb == b"EHLO":
                writer.write(b"250-test\r\n250 AUTH PLAIN\r\n")
            elif verb == b"AUTH":
                self.logins += 1
                writer.write(b"235 ok\r\n")
            elif verb == b"MAIL" and self.refuses:
                writer.write(b"451 later\r\n")
            elif verb == b"DATA":
                writer.write(b"354 go on\r\n")
                content = b""
                while (part := await reader.readline()) != b".\r\n":
                    content += part
                self.messages.append(content)
                writer.write(b"250 ok\r\n")
            elif verb == b"QUIT":
                writer.write(b"221 bye\r\n")
                break
            else:
                writer.write(b"250 ok\r\n")
        writer.close()


@asynccontextmanager
async def smtp(server: Server, context: ssl.SSLContext | None) -> AsyncIterator[int]:
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=context)
    async with listening:
        yield listening.sockets[0].getsockname()[1]


@pytest.fixture
def contexts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """A server's context with a certificate of localhost that the sender trusts."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = tmp_path / "certificate.pem"
    pem.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    trusting = ssl.create_default_context(cafile=str(pem))
    monkeypatch.setattr("ssl.create_default_context", lambda: trusting)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(pem)
    return server


async def test_mail_is_sent_once_over_tls_with_credentials(
    database: Database, contexts: ssl.SSLContext
) -> None:
    server = Server()
    await queue(database, HELLO)
    async with smtp(server, contexts) as port:
        transport = SmtpTransport(f"smtps://user:pass%20word@localhost:{port}")
        assert await send_due(database, transport, "no-reply@clinic.example", KEY) == 1
        assert await send_due(database, transport, "no-reply@clinic.example", KEY) == 0
    (content,) = server.messages
    message = message_from_bytes(content, policy=policy.default)
    assert (message["To"], message["From"], message["Subject"]) == (
        "grace@example.org",
        "no-reply@clinic.example",
        "Hello",
    )
    assert message["Auto-Submitted"] == "auto-generated"
    assert server.logins == 1
    assert await waiting(database) == 0


async def test_server_without_tls_gets_neither_mail_nor_password(database: Database) -> None:
    server = Server()
    await queue(database, HELLO)
    async with smtp(server, None) as port:
        transport = SmtpTransport(f"smtp://user:password@localhost:{port}")
        assert await send_due(database, transport, "a@b.example", KEY) == 0
    assert (server.messages, server.logins) == ([], 0)
    assert await waiting(database) == 1


async def test_refused_mail_is_tried_again_later(
    database: Database, contexts: ssl.SSLContext
) -> None:
    server = Server()
    server.refuses = True
    await queue(database, HELLO)
    async with smtp(server, contexts) as port:
        transport = SmtpTransport(f"smtps://localhost:{port}")
        assert await send_due(database, transport, "a@b.example", KEY) == 0
        server.refuses = False
        # Not at once.
        assert await send_due(database, transport, "a@b.example", KEY) == 0
        async with database.connection() as connection:
            await connection.execute("UPDATE mails SET due_at = now()")
        assert await send_due(database, transport, "a@b.example", KEY) == 1


async def test_waits_after_failures_double_up_to_a_quarter_of_an_hour(database: Database) -> None:
    await queue(database, HELLO)
    waits = []
    async with database.connection() as connection:
        for attempts in (1, 2, 3, 8, 9, 1_000):
            await connection.execute("UPDATE mails SET attempts = $1", attempts)
            (id,) = await connection.fetchrow("SELECT id::text FROM mails")
            async with connection.transaction():
                await postpone_mail(connection, id)
                waits.append(
                    await connection.fetchval(
                        "SELECT extract(epoch FROM due_at - now())::int FROM mails"
                    )
                )
    assert waits == [5, 10, 20, 640, 900, 900]


async def test_mail_whose_link_is_void_is_not_sent(database: Database, tmp_path: Path) -> None:
    await queue(database, HELLO)
    async with database.connection() as connection:
        life = await connection.fetchval("SELECT expires_at - now() FROM mails")
        await connection.execute("UPDATE mails SET expires_at = now()")
    assert life <= datetime.timedelta(hours=24)
    assert await send_due(database, FolderTransport(tmp_path), "a@b.example", KEY) == 0
    assert os.listdir(tmp_path) == []


async def test_senders_at_once_send_each_mail_once(database: Database, tmp_path: Path) -> None:
    sent: list[str] = []

    class Counting:
        async def send(self, message: object, queued: QueuedMail) -> None:
            sent.append(queued.id)
            await asyncio.sleep(0)

    transport: Transport = Counting()
    await queue(database, *(HELLO for _ in range(30)))
    await asyncio.gather(*(send_due(database, transport, "a@b.example", KEY) for _ in range(4)))
    assert len(sent) == len(set(sent)) == 30


async def test_folder_has_a_mail_as_a_file_for_its_owner_only(
    database: Database, tmp_path: Path
) -> None:
    await queue(database, HELLO)
    transport = FolderTransport(tmp_path / "mail")
    assert await send_due(database, transport, "a@b.example", KEY) == 1
    (file,) = (tmp_path / "mail").iterdir()
    assert file.suffix == ".eml" and file.stat().st_mode & 0o077 == 0
    assert b"https://x.example/y" in file.read_bytes()


async def test_mail_with_a_link_waits_encrypted_and_moves_to_a_newer_key(
    database: Database, tmp_path: Path
) -> None:
    async with database.transaction() as connection:
        await insert_mail_with_link(connection, HELLO, KEY, life_hours=1)
        row = await connection.fetchrow("SELECT *, expires_at - now() AS life FROM mails")
        assert "x.example" not in row["body"] and b"x.example" not in row["sealed_body"]
        assert row["life"] <= datetime.timedelta(hours=1)
        assert await reencrypt_secrets(connection, NEWER_KEY + KEY) == 1
    transport = FolderTransport(tmp_path / "mail")
    assert await send_due(database, transport, "a@b.example", KEY) == 0
    async with database.connection() as connection:
        await connection.execute("UPDATE mails SET due_at = now()")
    assert await send_due(database, transport, "a@b.example", NEWER_KEY) == 1
    assert await waiting(database) == 0
    (file,) = (tmp_path / "mail").iterdir()
    assert b"https://x.example/y" in file.read_bytes()


async def test_mail_under_an_unknown_key_does_not_keep_others_from_moving(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    async with database.transaction() as connection:
        await insert_mail_with_link(connection, HELLO, b"x" * 32)
        await insert_mail_with_link(connection, HELLO, KEY)
        assert await reencrypt_secrets(connection, NEWER_KEY + KEY) == 1
    (line,) = [one for one in caplog.records if "unknown key" in one.message]
    assert line.__dict__["mail"] and "hello" not in str(line.__dict__).lower()


def test_transport_follows_the_settings() -> None:
    assert make_transport(MailSettings()) is None
    assert isinstance(make_transport(MailSettings(folder="mail")), FolderTransport)
    both = MailSettings(smtp_url="smtps://host", folder="mail")
    assert isinstance(make_transport(both), SmtpTransport)


@pytest.mark.parametrize("recipient", ["a@b.example\r\nBcc: c@d.example", "a@b.example, c"])
def test_recipient_is_one_address(recipient: str) -> None:
    mail = Mail(recipient=recipient, subject="x", body="x")
    with pytest.raises(ValueError):
        compose(QueuedMail(id="1", mail=mail), "a@b.example", datetime.datetime.now(datetime.UTC))
