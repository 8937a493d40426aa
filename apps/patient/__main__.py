"""`python -m apps.patient` starts the service; `python -m apps.patient outbox list|retry` is for operators."""

import argparse
import asyncio
import sys

import aiohttp

from apps.catalogue import SERVICES
from apps.kit.broker import open_producer
from apps.kit.credentials import ServiceCredentials
from apps.kit.database import UNAVAILABLE, open_database
from apps.kit.logs import configure_logging
from apps.kit.rpc import open_channel
from apps.kit.start import read_settings, run_service
from apps.kit.token_verifier import open_verifier
from apps.kit.web import serve_http
from apps.patient.app import create_app
from apps.patient.destinations import RpcBilling
from apps.patient.outbox import retry_parked, select_parked
from apps.patient.relay import connect_to
from apps.patient.settings import Settings


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    verifying = settings.verifier
    async with (
        aiohttp.ClientSession() as session,
        open_verifier(verifying, session) as verifier,
        open_database(settings.database) as database,
        open_channel(settings.billing_target) as channel,
        open_producer(settings.broker) as producer,
    ):
        credentials = ServiceCredentials(
            verifying.auth_url, verifying.client_id, verifying.client_secret, session
        )
        app = create_app(
            settings,
            database=database,
            verifier=verifier,
            billing=RpcBilling(channel, credentials),
            publisher=producer,
        )
        await serve_http(app, settings.host, settings.port, stop, server=SERVICES["patient"].server)


async def list_parked(settings: Settings) -> None:
    async with connect_to(settings.database)() as connection:
        parked = await select_parked(connection)
    for row in parked:
        created = f"{row.created_at:%Y-%m-%dT%H:%M:%SZ}"
        print(
            f"{row.id}  {row.destination}  patient {row.patient_id}  {created}  {row.attempts} tries  {row.reason}"
        )
    print(f"{len(parked)} parked")


async def retry(settings: Settings, ids: list[int] | None) -> None:
    async with connect_to(settings.database)() as connection:
        print(f"{await retry_parked(connection, ids)} will be sent again")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m apps.patient", description=__doc__)
    commands = parser.add_subparsers(dest="command")
    outbox = commands.add_parser("outbox", help="what could not be sent").add_subparsers(
        dest="action", required=True
    )
    outbox.add_parser("list", help="rows that were refused, and why")
    again = outbox.add_parser("retry", help="send refused rows again")
    again.add_argument("ids", nargs="*", type=int, metavar="ID")
    again.add_argument("--all", action="store_true")
    arguments = parser.parse_args()
    if arguments.command and arguments.action == "retry" and bool(arguments.ids) == arguments.all:
        parser.error("outbox retry wants ids or --all")
    return arguments


def main() -> int:
    arguments = parse_arguments()
    settings = read_settings(Settings.from_environment)
    if arguments.command is None:
        return run_service(settings, serve)
    configure_logging(settings.log_format)
    try:
        if arguments.action == "list":
            asyncio.run(list_parked(settings))
        else:
            asyncio.run(retry(settings, None if arguments.all else arguments.ids))
    except UNAVAILABLE as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
