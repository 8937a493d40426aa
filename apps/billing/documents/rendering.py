"""Writes a view as HTML (Jinja2) or as tagged PDF/A-3 (Typst)."""

import json
from dataclasses import asdict
from functools import cache
from importlib.resources import files

import jinja2
import typst

from apps.billing.documents.view import View

# Columns that carry words and dates; all behind them are amounts.
_WORDS = frozenset(("Service", "Date", "What", "Number", "Invoice"))


@cache
def _template() -> jinja2.Template:
    text = (files("apps.billing.documents") / "document.html").read_text()
    return jinja2.Environment(autoescape=True, trim_blocks=True).from_string(text)


@cache
def _layout() -> bytes:
    return (files("apps.billing.documents") / "document.typ").read_bytes()


def first_amount(view: View) -> int:
    return sum(column in _WORDS for column in view.columns)


def write_html(view: View) -> bytes:
    return _template().render(view=view, first_amount=first_amount(view)).encode()


def write_pdf(view: View) -> bytes:
    """Writes PDF/A-3 with a structure tree; the same view gives the same figures as the HTML."""
    data = asdict(view)
    data["facts"] = [pair for pair in view.facts if pair[1]]
    data["first_amount"] = first_amount(view)
    pdf: bytes = typst.compile(
        _layout(),
        sys_inputs={"view": json.dumps(data)},
        pdf_standards=["a-3a"],
        ignore_system_fonts=True,
    )
    return pdf
