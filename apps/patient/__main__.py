"""Starts the patient service: `python -m apps.patient`. `operate VERB ...` instead runs a verb of
`scripts/operate`.
"""

import asyncio
import sys

import aiohttp

from apps.catalogue import SERVICES
from apps.kit.broker import open_producer
from apps.kit.credentials import ServiceCredentials
from apps.kit.database import open_database
from apps.kit.http_server import serve_http
from apps.kit.rpc import open_channel
from apps.kit.start import read_settings, run_service
from apps.kit.token_verifier import open_verifier
from apps.patient.app import create_app
from apps.patient.relay.destinations import RpcBilling
from apps.patient.settings import Settings
from apps.patient.storage.planner import PLANNER_SETTINGS


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    verifying = settings.verifier
    async with (
        aiohttp.ClientSession() as session,
        open_verifier(verifying, session) as verifier,
        open_database(settings.database, PLANNER_SETTINGS) as database,
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


def main(arguments: list[str]) -> int:
    settings = read_settings(Settings.from_environment)
    if arguments[:1] == ["operate"]:
        from apps.kit.operate import operate
        from apps.patient.operate import HANDLERS

        return operate("patient", settings, HANDLERS, arguments[1:])
    return run_service(settings, serve)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
