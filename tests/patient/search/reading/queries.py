"""Searches as the tests write them."""

from apps.patient.search.criteria.query import Query
from apps.patient.search.reading.reader import Reader

BASE = "http://platform.test/fhir/R4"


def read(query: str, *types: str, lenient: bool = False) -> Query:
    pairs = [(name, value) for name, _, value in (part.partition("=") for part in query.split("&"))]
    return Reader(base_url=BASE, lenient=lenient).read(types, pairs)
