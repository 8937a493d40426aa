"""`Patient/$match`: patients that a description may be of
(https://hl7.org/fhir/R4/patient-operation-match.html).

Candidates come from the search index by what one person's two records usually share; `scoring`
compares them.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from apps.kit.database import Connection
from apps.kit.errors import BadRequest, FieldError, Unprocessable
from apps.patient.codec import Resource, decode
from apps.patient.fhir.requests import (
    base_of,
    caller_of,
    check_parameters,
    read_audit_of,
    read_fhir_body,
)
from apps.patient.fhir.responses import respond
from apps.patient.operations.scoring import (
    CERTAIN,
    POSSIBLE,
    Likeness,
    Person,
    compare,
    person_of,
)
from apps.patient.search.criteria.criteria import AllOf
from apps.patient.search.criteria.query import Query
from apps.patient.storage.access import Caller
from apps.patient.storage.read_audit import ReadEntry
from apps.patient.storage.search import select_matches
from apps.patient.storage.versions import Version

DEFAULT_COUNT = 10
MAX_COUNT = 50
# Of each block of candidates.
MAX_CANDIDATES = 50
MAX_VALUES = 5
MATCH_GRADE = "http://hl7.org/fhir/StructureDefinition/match-grade"


async def match(request: Request) -> Response:
    """Takes Parameters with `resource`, `onlyCertainMatches` and `count`; answers a Bundle, the
    likeliest first.
    """
    caller = caller_of(request)
    caller.require("Patient", "s")
    caller.require("Patient", "r")
    check_parameters(request, ())
    asked, only_certain, count = parse_parameters(decode(await read_fhir_body(request)))
    person = person_of(asked)

    read_audit = read_audit_of(request)
    async with read_audit.database.connection() as connection:
        candidates = await select_candidates(connection, caller, person)
    least = CERTAIN if only_certain else POSSIBLE
    scored = [(compare(person, person_of(decode(each.body or "{}"))), each) for each in candidates]
    likely = sorted(
        ((likeness, version) for likeness, version in scored if likeness.score >= least),
        key=lambda pair: (-pair[0].score, pair[1].id),
    )[:count]

    ids = [version.id for _, version in likely]
    # Nothing is given out before it is recorded.
    await read_audit.record(
        ReadEntry(
            "search",
            caller.author,
            "Patient",
            patient_id=ids[0] if len(ids) == 1 else None,
            query="$match",
            returned_ids=ids,
            patient_ids=ids,
        )
    )
    return respond(request, bundle_of(base_of(request), likely))


def parse_parameters(body: Any) -> tuple[Resource, bool, int]:
    """Returns the description, whether only certain matches are wanted, and how many; raises
    Unprocessable.
    """
    if not isinstance(body, dict) or body.get("resourceType") != "Parameters":
        raise Unprocessable("invalid_parameters", "expected Parameters")
    faults: list[FieldError] = []
    asked: Any = None
    only_certain: Any = False
    count: Any = DEFAULT_COUNT
    parameters = body.get("parameter", [])
    if not isinstance(parameters, list):
        raise Unprocessable("invalid_parameters", "expected a list", pointer="/parameter")
    for index, parameter in enumerate(parameters):
        name = parameter.get("name") if isinstance(parameter, dict) else None
        if name == "resource":
            asked = parameter.get("resource")
        elif name == "onlyCertainMatches":
            only_certain = parameter.get("valueBoolean")
        elif name == "count":
            count = parameter.get("valueInteger")
        else:
            faults.append(
                FieldError("unknown_parameter", "no such parameter", f"/parameter/{index}/name")
            )
    if not isinstance(asked, dict) or asked.get("resourceType") != "Patient":
        faults.append(FieldError("missing_resource", "a Patient in `resource`", "/parameter"))
        asked = {}
    if not isinstance(only_certain, bool):
        faults.append(FieldError("invalid_value", "onlyCertainMatches is a boolean", "/parameter"))
    if type(count) is not int or not 1 <= count <= MAX_COUNT:
        faults.append(FieldError("invalid_value", f"count is from 1 to {MAX_COUNT}", "/parameter"))
    if faults:
        raise Unprocessable("invalid_parameters", faults=tuple(faults))
    return asked, only_certain, count


async def select_candidates(
    connection: Connection, caller: Caller, person: Person
) -> list[Version]:
    """Returns patients that share something with the description, each once."""
    found: dict[str, Version] = {}
    for pairs in blocks_of(person):
        query = Query(types=("Patient",))
        try:
            criteria = [
                caller.reader.criterion(query, "Patient", name, value, 0) for name, value in pairs
            ]
        except BadRequest:
            # A description may hold what no search can ask for, as a date that does not exist.
            continue
        criterion = AllOf(
            criteria=(*criteria, caller.criterion("Patient", "s"), caller.criterion("Patient", "r"))
        )
        versions = await select_matches(
            connection, "Patient", criterion, caller.scans.budget, MAX_CANDIDATES
        )
        for version in versions:
            found.setdefault(version.id, version)
    return list(found.values())


def blocks_of(person: Person) -> Iterable[Sequence[tuple[str, str]]]:
    """Yields searches that each give few candidates: identifiers, contacts, birth date, names."""
    for system, value in sorted(person.identifiers)[:MAX_VALUES]:
        yield [("identifier", f"{escaped(system)}|{escaped(value)}")]
    for phone in sorted(person.phones)[:MAX_VALUES]:
        yield [("phone", escaped(phone))]
    for email in sorted(person.emails)[:MAX_VALUES]:
        yield [("email", escaped(email))]

    givens = sorted(person.givens)[:MAX_VALUES]
    families = sorted(person.families)[:MAX_VALUES]
    for date in dates_near(person.birth_date):
        yield [("birthdate", date)]
    for family in families:
        for given in givens:
            # The beginning of the given name finds short forms too; both orders, as
            # forms mix them up.
            yield [("family", escaped(family)), ("given", escaped(given[:2]))]
            yield [("family", escaped(given)), ("given", escaped(family))]


def dates_near(date: str) -> list[str]:
    """Returns the date, and the one with day and month swapped. A year alone is no block: too
    many share it.
    """
    if len(date) != 10:
        return []
    swapped = f"{date[:4]}-{date[8:]}-{date[5:7]}"
    return list(dict.fromkeys([date, swapped]))


def escaped(value: str) -> str:
    """Returns a value as a search takes it (R4 search, escaping)."""
    for character in "\\$,|":
        value = value.replace(character, "\\" + character)
    return value


def bundle_of(base: str, likely: Sequence[tuple[Likeness, Version]]) -> Resource:
    bundle: Resource = {"resourceType": "Bundle", "type": "searchset", "total": len(likely)}
    if likely:
        bundle["entry"] = [
            {
                "fullUrl": f"{base}/Patient/{version.id}",
                "resource": decode(version.body or "{}"),
                "search": {
                    "extension": [{"url": MATCH_GRADE, "valueCode": likeness.grade}],
                    "mode": "match",
                    "score": likeness.score,
                },
            }
            for likeness, version in likely
        ]
    return bundle
