"""What `scripts/up` ends with: where to go and how to sign in."""

from io import StringIO
from types import SimpleNamespace
from typing import Any

from infrastructure.local.accounts import Accounts
from infrastructure.local.table import describe


def test_table_names_both_ways_for_people_to_sign_in_and_cuts_nothing_off() -> None:
    platform: Any = SimpleNamespace(
        accounts=Accounts(
            user="ada@example.org",
            password="p" * 43,
            client_id="local",
            client_secret="s" * 43,
        ),
        url="http://127.0.0.1:65535",
        postgres=SimpleNamespace(admin_url="postgresql://admin@127.0.0.1:5432/postgres"),
        kafka=SimpleNamespace(bootstrap_servers="127.0.0.1:9092"),
    )
    lines = describe(platform, 12.0, StringIO()).splitlines()
    assert "…" not in "".join(lines)
    for path, way in (("/oauth2/sign-in", "in a browser"), ("/auth/login", "by one call")):
        (line,) = [line for line in lines if f"{platform.url}{path} " in line]
        assert way in line and line.endswith("ada@example.org  " + "p" * 43)
