"""The method of documents: invoices, credit notes, receipts and statements, for people."""

import asyncio
from collections.abc import Callable

from apps.billing.access import READ_OWN, read_account
from apps.billing.accounts.account import Account
from apps.billing.books import Books
from apps.billing.documents.view import (
    View,
    recipient_of,
    view_credit_note,
    view_invoice,
    view_receipt,
    view_statement,
)
from apps.billing.invoicing.reading import load_invoice, read_invoice
from apps.billing.invoicing.storage import select_invoice_of_credit_note
from apps.billing.ledger.statement import load_statement, render_statement
from apps.billing.parsing import Fields, parse_id
from apps.billing.payments.reading import load_payment, read_payment
from apps.kit.database import Connection
from apps.kit.errors import BadRequest, NotFound, Unprocessable
from apps.kit.rpc import Caller, RpcMethod
from protos.billing.v1 import billing_pb2 as pb

# A PDF is some 50 ms of one core: more at once would only keep the calls waiting.
PDFS_AT_ONCE = 2

# Writes the EN 16931 data; None where a document has none.
WriteXml = Callable[[], bytes] | None


class DocumentMethods:
    def __init__(self, books: Books) -> None:
        self._books = books
        self._pdfs = asyncio.Semaphore(PDFS_AT_ONCE)

    def table(self) -> tuple[RpcMethod, ...]:
        return (RpcMethod("GetDocument", READ_OWN, self.get_document),)

    async def get_document(self, message: pb.GetDocumentRequest, caller: Caller) -> pb.Document:
        named = [
            name
            for name in ("invoice_id", "credit_note_id", "payment_id", "account_id")
            if getattr(message, name)
        ]
        if len(named) != 1:
            raise BadRequest("one_document", "name one document", pointer="invoice_id")
        if message.format not in (
            pb.DOCUMENT_FORMAT_HTML,
            pb.DOCUMENT_FORMAT_PDF,
            pb.DOCUMENT_FORMAT_XML,
        ):
            raise BadRequest("invalid_format", "HTML, PDF or XML", pointer="format")
        fields = Fields()
        name = fields.text("recipient_name", message.recipient_name)
        fields.check()
        load = {
            "invoice_id": self._invoice,
            "credit_note_id": self._credit_note,
            "payment_id": self._receipt,
            "account_id": self._statement,
        }[named[0]]
        async with self._books.snapshot() as connection:
            view, write_xml = await load(connection, message, caller, name)
        return await self._write(message.format, view, write_xml)

    async def _write(
        self, format: "pb.DocumentFormat.ValueType", view: View, write_xml: WriteXml
    ) -> pb.Document:
        # Only where a document is asked for: what writes them is not small.
        from apps.billing.documents.rendering import write_html, write_pdf

        if format == pb.DOCUMENT_FORMAT_HTML:
            return pb.Document(
                media_type="text/html; charset=utf-8",
                file_name=f"{view.file_name}.html",
                content=write_html(view),
            )
        if format == pb.DOCUMENT_FORMAT_XML:
            if write_xml is None:
                raise Unprocessable(
                    "no_e_invoice", "invoices and credit notes that were issued have one"
                )
            return pb.Document(
                media_type="application/xml",
                file_name=f"{view.file_name}.xml",
                content=write_xml(),
            )
        async with self._pdfs:
            pdf = await asyncio.to_thread(write_pdf, view)
            if write_xml is not None:
                pdf = await asyncio.to_thread(attach, pdf, write_xml(), view.title)
        return pb.Document(
            media_type="application/pdf", file_name=f"{view.file_name}.pdf", content=pdf
        )

    async def _invoice(
        self, connection: Connection, message: pb.GetDocumentRequest, caller: Caller, name: str
    ) -> tuple[View, WriteXml]:
        from apps.billing.documents.einvoice import write_invoice

        invoice_id = parse_id(message.invoice_id, "invoice_unknown")
        account, found = await read_invoice(connection, invoice_id, caller)
        if found.number is None:
            raise Unprocessable("invoice_not_issued", "a draft has no document")
        invoice = await load_invoice(connection, invoice_id)
        seller = self._books.settings.seller
        recipient = recipient_of(name, invoice.payer_id, account.patient_id)
        return (
            view_invoice(invoice, seller, account.patient_id, name),
            lambda: write_invoice(invoice, seller, recipient),
        )

    async def _credit_note(
        self, connection: Connection, message: pb.GetDocumentRequest, caller: Caller, name: str
    ) -> tuple[View, WriteXml]:
        from apps.billing.documents.einvoice import write_credit_note

        credit_note_id = parse_id(message.credit_note_id, "credit_note_unknown")
        invoice_id = await select_invoice_of_credit_note(connection, credit_note_id)
        if invoice_id is None:
            raise NotFound("credit_note_unknown")
        account, _ = await read_invoice(connection, invoice_id, caller)
        invoice = await load_invoice(connection, invoice_id)
        note = next(
            one for one in invoice.credit_notes if one.credit_note_id == str(credit_note_id)
        )
        seller = self._books.settings.seller
        recipient = recipient_of(name, invoice.payer_id, account.patient_id)
        return (
            view_credit_note(invoice, note, seller, account.patient_id, name),
            lambda: write_credit_note(invoice, note, seller, recipient),
        )

    async def _receipt(
        self, connection: Connection, message: pb.GetDocumentRequest, caller: Caller, name: str
    ) -> tuple[View, WriteXml]:
        payment_id = parse_id(message.payment_id, "payment_unknown")
        found = await read_payment(connection, payment_id, caller)
        account = await read_account(connection, found.account_id, caller)
        payment = await load_payment(connection, payment_id)
        numbers = {
            allocation.invoice_id: (
                await load_invoice(connection, parse_id(allocation.invoice_id, "invoice_unknown"))
            ).number
            for allocation in payment.allocations
        }
        return view_receipt(
            payment, numbers, self._books.settings.seller, account.patient_id, name
        ), None

    async def _statement(
        self, connection: Connection, message: pb.GetDocumentRequest, caller: Caller, name: str
    ) -> tuple[View, WriteXml]:
        account_id = parse_id(message.account_id, "account_unknown")
        fields = Fields()
        begin, end = fields.day("from", getattr(message, "from")), fields.day("to", message.to)
        fields.check()
        account: Account = await read_account(connection, account_id, caller)
        statement = render_statement(await load_statement(connection, account, begin, end))
        return view_statement(
            statement, self._books.settings.seller, account.patient_id, name
        ), None


def attach(pdf: bytes, xml: bytes, title: str) -> bytes:
    """Puts the EN 16931 data into the PDF/A-3a as factur-x.xml, checked against its schema."""
    import facturx

    hybrid: bytes = facturx.generate_from_binary(
        pdf,
        xml,
        flavor="factur-x",
        level="en16931",
        check_xsd=True,
        lang="en",
        afrelationship="alternative",
        pdf_metadata={"author": "", "keywords": "Factur-X", "title": title, "subject": title},
        xmp_compression=False,
    )
    # factur-x always writes level B (ISO 19005-3, 6.6.4), but the structure tree is there: level A.
    # The replacement is of the same length, so that every offset in the file stays right.
    level_b, level_a = (f"<pdfaid:conformance>{level}<".encode() for level in "BA")
    if hybrid.count(level_b) != 1:
        raise ValueError("the PDF does not state its conformance once")
    return hybrid.replace(level_b, level_a)
