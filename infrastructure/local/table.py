"""The table that is printed when the platform is ready."""

from io import StringIO
from typing import TextIO

from rich import box
from rich.console import Console
from rich.table import Table

from infrastructure.local.platform import Platform

# Wider than any row: text that is cut off cannot be copied. A narrow terminal wraps it.
MAX_WIDTH_COLUMNS = 240


def describe(platform: Platform, seconds: float, screen: TextIO) -> str:
    """Returns the table of URLs and accounts; below it calls that can be copied."""
    accounts, url = platform.accounts, platform.url
    table = Table(
        box=box.SIMPLE_HEAD,
        title=f"The platform is ready, {seconds:.1f} s after the start",
        title_justify="left",
    )
    for heading in ("URL", "what it is", "how to sign in"):
        table.add_column(heading, no_wrap=True)
    table.add_row(f"{url}/docs", "the gateway, and every call described", "")
    person = f"{accounts.user}  {accounts.password}"
    table.add_row(f"{url}/oauth2/sign-in", "for people, in a browser", person)
    table.add_row(f"{url}/auth/login", "for people, by one call", person)
    table.add_row(
        f"{url}/oauth2/token",
        "for clients (client_credentials)",
        f"{accounts.client_id}  {accounts.client_secret}",
    )
    table.add_row(
        platform.postgres.admin_url.rpartition("@")[2].partition("/")[0],
        "PostgreSQL 18",
        "roles and passwords: .local/data",
    )
    table.add_row(platform.kafka.bootstrap_servers, "Kafka 4", "no sign-in, loopback only")
    text = StringIO()
    Console(
        file=text, width=MAX_WIDTH_COLUMNS, force_terminal=screen.isatty(), highlight=False
    ).print(table)
    # Outside the table, so that it can be copied whole.
    return "\n".join(
        (
            *(line.rstrip() for line in text.getvalue().rstrip().splitlines()),
            "  A first call, in another terminal:",
            f"    TOKEN=$(curl -s -u {accounts.client_id}:{accounts.client_secret} -d "
            f"grant_type=client_credentials "
            f'{url}/oauth2/token | sed \'s/.*"access_token": *"\\([^"]*\\).*/\\1/\')',
            f'    curl -s -H "Authorization: Bearer $TOKEN" {url}/fhir/R4/Patient',
            "",
            "  scripts/operate local sign-in prints the accounts again. Ctrl-C stops all of it.",
            "",
        )
    )
