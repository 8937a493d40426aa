"""The administrator and the client that a platform on this machine starts with."""

import asyncio
from dataclasses import dataclass

from apps.release.visitors import USER, Visitors, insert_visitors
from infrastructure.local.home import LocalSecrets

CLIENT_ID = "local"


@dataclass(frozen=True, slots=True)
class Accounts:
    user: str
    password: str
    client_id: str
    client_secret: str


def make_accounts(auth_url: str, secrets: LocalSecrets) -> Accounts:
    """Makes those that are missing."""
    accounts = Accounts(
        USER, secrets.make("PLATFORM_PASSWORD"), CLIENT_ID, secrets.make("PLATFORM_CLIENT_SECRET")
    )
    visitors = Visitors(
        accounts.client_id, accounts.client_secret, accounts.password, accounts.user
    )
    asyncio.run(insert_visitors(auth_url, visitors))
    return accounts
