"""Billing's composition root."""

import grpc

from apps.billing.service import billing_methods
from apps.billing.settings import SERVICE, Settings
from apps.catalogue import SERVICES
from apps.kit.database import Database
from apps.kit.rpc import RpcGuard, TokenVerifier, create_rpc_server, rpc_handler
from protos.billing.v1 import billing_pb2 as pb


def create_app(
    settings: Settings, *, database: Database, verifier: TokenVerifier
) -> grpc.aio.Server:
    """The gRPC server; nothing is opened or listened on yet."""
    guard = RpcGuard(
        verifier,
        audience=SERVICE,
        user_audience=settings.public_url,
        callers=frozenset(
            f"service-{entry.name}" for entry in SERVICES.values() if SERVICE in entry.calls
        ),
    )
    handler = rpc_handler(
        pb.DESCRIPTOR.services_by_name["Billing"], billing_methods(database), guard
    )

    async def is_ready() -> bool:
        return verifier.has_keys and await database.is_ready()

    return create_rpc_server(handler, is_ready)
