"""The clients by which our own services prove to each other who they are."""

from collections.abc import Mapping

from apps.auth.encryption import digest
from apps.catalogue import SERVICES
from apps.kit.database import Connection

# What a service may do in its own name at the services that it calls.
SERVICE_SCOPES: Mapping[str, tuple[str, ...]] = {"patient": ("billing.system",)}


async def register_service_clients(connection: Connection, secrets: Mapping[str, str]) -> None:
    """Makes the clients or brings them up to date; repeating it changes nothing.

    `secrets`: `service-<name>` -> its secret.
    """
    for client_id, secret in secrets.items():
        service = SERVICES[client_id.removeprefix("service-")]
        await connection.execute(
            "INSERT INTO clients (id, name, auth_method, secret_hash, grant_types, scopes, "
            "audiences, trusted) "
            "VALUES ($1, $2, 'client_secret_basic', $3, '{client_credentials}', $4, $5, true) "
            "ON CONFLICT (id) DO UPDATE SET secret_hash = excluded.secret_hash, "
            # Replicas that still run with the secret before go on until all have rolled.
            "previous_secret_hash = CASE WHEN clients.secret_hash <> excluded.secret_hash "
            "THEN clients.secret_hash ELSE clients.previous_secret_hash END, "
            "previous_secret_expires_at = CASE WHEN clients.secret_hash <> excluded.secret_hash "
            "THEN now() + interval '1 day' ELSE clients.previous_secret_expires_at END, "
            "scopes = excluded.scopes, "
            "audiences = excluded.audiences, updated_at = now(), version = clients.version + 1 "
            "WHERE (clients.secret_hash, clients.scopes, clients.audiences) "
            "IS DISTINCT FROM (excluded.secret_hash, excluded.scopes, excluded.audiences)",
            client_id,
            f"The {service.name} service",
            digest(secret),
            list(SERVICE_SCOPES.get(service.name, ())),
            list(service.calls),
        )
