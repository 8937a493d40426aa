"""The table of `/billing/v1/*`: each operation, its method of the contract, and who may call it."""

from apps.gateway.billing_account_calls import ACCOUNTS, CHARGES, INVOICES
from apps.gateway.billing_book_calls import BOOKS, CONSUMER, OUTBOX, PAYMENTS

CALLS = (*ACCOUNTS, *CHARGES, *INVOICES, *PAYMENTS, *BOOKS, *OUTBOX, *CONSUMER)
