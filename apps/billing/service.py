"""The contract's methods, gathered from the packages that each have their own."""

from apps.billing.accounts.methods import AccountMethods
from apps.billing.books import Books
from apps.billing.charges.methods import ChargeMethods
from apps.billing.charges.price_methods import PriceMethods
from apps.billing.dead_letter_methods import ConsumedTopics, DeadLetterMethods
from apps.billing.documents.methods import DocumentMethods
from apps.billing.invoicing.methods import InvoiceMethods
from apps.billing.invoicing.reminders import ReminderMethods
from apps.billing.ledger.methods import LedgerMethods
from apps.billing.outbox_methods import OutboxMethods
from apps.billing.payments.cash_desk import CashDeskMethods
from apps.billing.payments.methods import PaymentMethods
from apps.billing.payments.write_offs import WriteOffMethods
from apps.billing.settings_methods import SettingsMethods
from apps.kit.rpc import RpcMethod


def billing_methods(books: Books, topics: ConsumedTopics) -> tuple[RpcMethod, ...]:
    """Gives every method with its policy; `rpc_handler` refuses a table that leaves one out."""
    return (
        *AccountMethods(books).table(),
        *ChargeMethods(books).table(),
        *PriceMethods(books).table(),
        *InvoiceMethods(books).table(),
        *ReminderMethods(books).table(),
        *PaymentMethods(books).table(),
        *WriteOffMethods(books).table(),
        *CashDeskMethods(books).table(),
        *LedgerMethods(books).table(),
        *DocumentMethods(books).table(),
        *OutboxMethods(books).table(),
        *DeadLetterMethods(books, topics).table(),
        *SettingsMethods(books).table(),
    )
