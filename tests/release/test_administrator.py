"""How the release's administrator signs in on RDS, on a PostgreSQL that treats the members of
`rds_iam` as RDS does.
"""

import hashlib
import json
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from apps.release import aws
from apps.release.bootstrap import bootstrap, connects
from infrastructure.local.postgres import open_postgres, read_passwords
from infrastructure.local.postgres_place import place, unprivileged

pytestmark = pytest.mark.integration
# As long as a RADIUS password may be without a second round of its hash.
TOKEN, SECRET = "a-token", "shared"
ACCEPTED, REFUSED = 2, 3


@contextmanager
def judge_of_tokens() -> Iterator[int]:
    """In RDS's PAM module's place a RADIUS server (RFC 2865) on this port, to which TOKEN alone is
    right.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))

        def serve() -> None:
            while (packet := server.recvfrom(4096))[0]:
                data, caller = packet
                asked, place = data[4:20], 20
                while data[place] != 2:  # User-Password
                    place += data[place + 1]
                mask = hashlib.md5(SECRET.encode() + asked).digest()  # noqa: S324 - the protocol's own
                password = bytes(
                    a ^ b for a, b in zip(data[place + 2 : place + 18], mask, strict=True)
                ).rstrip(b"\0")
                head = struct.pack(
                    "!BBH", ACCEPTED if password == TOKEN.encode() else REFUSED, data[1], 20
                )
                server.sendto(head + hashlib.md5(head + asked + SECRET.encode()).digest(), caller)  # noqa: S324

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            server.sendto(b"", server.getsockname())
            thread.join()


@dataclass
class Server:
    port: int
    password: str

    def url(self, role: str, password: str, host: str, database: str) -> str:
        return f"postgresql://{role}:{password}@{host}:{self.port}/{database}"

    def generate_db_auth_token(self, **wanted: Any) -> str:
        return TOKEN

    def get_secret_value(self, **wanted: Any) -> dict[str, str]:
        return {"SecretString": json.dumps({"username": "postgres", "password": self.password})}

    def instances(self) -> aws.Instances:
        environ = {"PATIENT_DATABASE_HOST": "127.0.0.1", "PATIENT_MASTER_SECRET_ARN": "arn"}
        return aws.Instances(self, self, environ, connects)


@pytest.fixture
def rds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    directory = tmp_path / "postgres"
    with judge_of_tokens() as judge, open_postgres(directory, durable=False) as opened:
        server = Server(opened.port, read_passwords(directory)["superuser"])
        hba = place(directory, unprivileged()) / "cluster" / "pg_hba.conf"
        members = (
            f"host all +rds_iam 127.0.0.1/32 radius radiusservers=127.0.0.1 radiussecrets={SECRET}"
        )
        hba.write_text(f"{members} radiusports={judge}\n{hba.read_text()}")
        with psycopg.connect(
            server.url("postgres", server.password, "127.0.0.1", "postgres")
        ) as connection:
            connection.execute("CREATE ROLE rds_iam")
            connection.execute("SELECT pg_reload_conf()")
        monkeypatch.setattr(aws, "url", server.url)
        yield server


def test_administrator_whom_its_own_roles_shut_out_comes_in_by_token(rds: Server) -> None:
    by_password, by_token = (
        rds.url("postgres", word, "127.0.0.1", "postgres") for word in (rds.password, TOKEN)
    )
    for expected in (by_password, by_token, by_token):
        admin_url = rds.instances().admin_url("patient")
        assert admin_url == expected
        bootstrap(admin_url, ("patient",), password_of=None)
    with pytest.raises(psycopg.OperationalError, match="RADIUS authentication failed"):
        psycopg.connect(by_password)


def test_service_enters_no_database_that_was_there_before(rds: Server) -> None:
    bootstrap(rds.instances().admin_url("patient"), ("patient",), password_of=None)
    psycopg.connect(rds.url("patient", TOKEN, "127.0.0.1", "patient")).close()
    for database in ("postgres", "template1"):
        with pytest.raises(psycopg.OperationalError, match="permission denied"):
            psycopg.connect(rds.url("patient", TOKEN, "127.0.0.1", database))
