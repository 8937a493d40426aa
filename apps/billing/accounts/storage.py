"""The SQL of accounts and of the requests that opened them.

Every function takes the connection of the transaction that it is part of.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg

from apps.billing.accounts.account import Account, AccountRequest
from apps.kit.context import current_request_id, new_id
from apps.kit.database import Connection
from apps.kit.rpc import Caller


@dataclass(frozen=True, slots=True)
class Answered:
    """What a request id was first used for, and what came of it."""

    method: str
    request_hash: bytes
    resource_id: UUID


async def select_account(connection: Connection, account_id: UUID) -> Account | None:
    return _account(
        await connection.fetchrow("SELECT * FROM account WHERE account_id = $1", account_id)
    )


async def select_account_by_patient(connection: Connection, patient_id: str) -> Account | None:
    return _account(
        await connection.fetchrow("SELECT * FROM account WHERE patient_id = $1", patient_id)
    )


async def select_patients_merged(connection: Connection, patient_ids: Sequence[str]) -> set[str]:
    """Returns those of the patients whose account is merged into another one."""
    rows = await connection.fetch(
        """
        SELECT patient_id FROM account JOIN account_merge USING (account_id)
        WHERE patient_id = ANY($1::text[])""",
        patient_ids,
    )
    return {row["patient_id"] for row in rows}


async def select_account_for_update(connection: Connection, account_id: UUID) -> Account | None:
    """Locks the account: of two changes of one patient's bills the second waits here."""
    return _account(
        await connection.fetchrow(
            "SELECT * FROM account WHERE account_id = $1 FOR NO KEY UPDATE", account_id
        )
    )


async def select_invoice_account_for_update(
    connection: Connection, invoice_id: UUID
) -> Account | None:
    """Locks the account of an invoice; None where there is no such invoice."""
    return _account(
        await connection.fetchrow(
            """
            SELECT * FROM account WHERE account_id = (SELECT account_id FROM invoice WHERE
                invoice_id = $1)
            FOR NO KEY UPDATE""",
            invoice_id,
        )
    )


async def insert_account(connection: Connection, patient_id: str, currency: str) -> Account | None:
    """Returns None where the patient has an account; it then waited for the transaction that opens
    it.
    """
    row = await connection.fetchrow(
        """
        INSERT INTO account (account_id, patient_id, status, currency, version)
        VALUES ($1, $2, 'active', $3, 1)
        ON CONFLICT (patient_id) DO NOTHING
        RETURNING *
        """,
        new_id(),
        patient_id,
        currency,
    )
    return _account(row)


async def insert_opened(
    connection: Connection, caller: Caller, method: str, requests: Sequence[AccountRequest]
) -> dict[str, Account] | None:
    """Opens accounts for those patients who have none, and returns them by patient: each with its
    audit entry and its answered request.

    One statement, and so one transaction. `requests`: a patient at most once. None, and nothing is
    written, where a new patient's request id was used before.
    """
    try:
        rows = await connection.fetch(
            """
            WITH asked AS (
                SELECT * FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::text[], $5::text[],
                    $6::bytea[],
                                     $7::text[])
                    AS each (account_id, patient_id, audit_id, correlation_id, request_id,
                        request_hash, currency)),
            opened AS (
                INSERT INTO account (account_id, patient_id, status, currency, version)
                SELECT account_id, patient_id, 'active', currency, 1 FROM asked
                -- In one order whoever asks: of two that wait for each other, one would fail.
                ORDER BY patient_id
                ON CONFLICT (patient_id) DO NOTHING RETURNING *),
            audited AS (
                INSERT INTO audit (audit_id, action, account_id, subject, client_id, service_id,
                    correlation_id)
                SELECT audit_id, 'account.opened', account_id, $8::text, $9::text, $10::text,
                    correlation_id
                FROM asked JOIN opened USING (account_id)),
            answered AS (
                INSERT INTO request (client_id, subject, request_id, method, request_hash,
                    resource_id)
                SELECT $9, $8, request_id, $11::text, request_hash, account_id
                FROM asked JOIN opened USING (account_id))
            SELECT * FROM opened""",
            [new_id() for _ in requests],
            [request.patient_id for request in requests],
            [new_id() for _ in requests],
            [request.context.request_id for request in requests],
            [request.request_id for request in requests],
            [request.request_hash for request in requests],
            [request.currency for request in requests],
            caller.actor.subject,
            caller.actor.client_id,
            caller.service.client_id,
            method,
        )
    except asyncpg.UniqueViolationError:
        return None
    return {row["patient_id"]: Account(**row) for row in rows}


async def select_request(
    connection: Connection, caller: Caller, request_id: str
) -> Answered | None:
    row = await connection.fetchrow(
        """
        SELECT method, request_hash, resource_id FROM request
        WHERE client_id = $1 AND subject = $2 AND request_id = $3
        """,
        caller.actor.client_id,
        caller.actor.subject,
        request_id,
    )
    return Answered(**row) if row else None


async def select_answered(
    connection: Connection, caller: Caller, request_ids: Sequence[str]
) -> dict[str, tuple[Answered, Account]]:
    """Returns those of the request ids that were used before, each with the account that it was
    answered with.
    """
    rows = await connection.fetch(
        """
        SELECT request.request_id, request.method, request.request_hash, account.*
        FROM request JOIN account ON account_id = resource_id
        WHERE client_id = $1 AND subject = $2 AND request_id = ANY($3::text[])
        """,
        caller.actor.client_id,
        caller.actor.subject,
        request_ids,
    )
    return {
        request_id: (Answered(method, request_hash, row[0]), Account(*row))
        for request_id, method, request_hash, *row in rows
    }


async def insert_request(
    connection: Connection, caller: Caller, request_id: str, answered: Answered
) -> bool:
    """Returns False where the request id was used before; it then waited for the
    transaction that uses it.
    """
    row = await connection.fetchrow(
        """
        INSERT INTO request (client_id, subject, request_id, method, request_hash, resource_id)
        VALUES ($1, $2, $3, $4, $5, $6)
        ON CONFLICT DO NOTHING
        RETURNING true
        """,
        caller.actor.client_id,
        caller.actor.subject,
        request_id,
        answered.method,
        answered.request_hash,
        answered.resource_id,
    )
    return row is not None


async def update_account(connection: Connection, account_id: UUID, status: str) -> Account:
    row = await connection.fetchrow(
        """
        UPDATE account SET status = $2, version = version + 1, updated_at = now()
        WHERE account_id = $1 RETURNING *""",
        account_id,
        status,
    )
    return Account(**row)


async def select_merged_into(connection: Connection, account_id: UUID) -> UUID | None:
    merged_into: UUID | None = await connection.fetchval(
        "SELECT merged_into FROM account_merge WHERE account_id = $1", account_id
    )
    return merged_into


async def insert_merge(connection: Connection, account_id: UUID, merged_into: UUID) -> None:
    await connection.execute(
        """
        INSERT INTO account_merge (account_id, merged_into) VALUES ($1, $2)
        ON CONFLICT DO NOTHING""",
        account_id,
        merged_into,
    )


async def delete_merge(connection: Connection, account_id: UUID) -> UUID | None:
    """Undoes a merge; gives the account that this one was merged into, None where
    there was none.
    """
    merged_into: UUID | None = await connection.fetchval(
        "DELETE FROM account_merge WHERE account_id = $1 RETURNING merged_into", account_id
    )
    return merged_into


async def insert_audit(
    connection: Connection, caller: Caller, action: str, account_id: UUID
) -> None:
    await connection.execute(
        """
        INSERT INTO audit (audit_id, action, account_id, subject, client_id, service_id,
            correlation_id)
        VALUES ($1, $2, $3, $4, $5, $6, $7)
        """,
        new_id(),
        action,
        account_id,
        caller.actor.subject,
        caller.actor.client_id,
        caller.service.client_id,
        current_request_id(),
    )


def _account(row: Any) -> Account | None:
    return Account(**row) if row else None
