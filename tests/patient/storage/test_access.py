"""What a caller's scopes reach."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from apps.kit.errors import Forbidden
from apps.kit.scopes import AccessRule, Disclosure
from apps.patient.search.criteria.criteria import (
    EVERYTHING,
    NOTHING,
    AllOf,
    AnyOf,
    Chain,
    Contained,
    Criterion,
    Has,
    Hierarchy,
    Identity,
    Not,
    Owned,
)
from apps.patient.search.index.hashing import resource_hash
from apps.patient.search.reading.reader import Reader
from apps.patient.storage.access import Caller, is_owned_type
from apps.patient.storage.versions import Author, Version, change_of
from tests.patient.patient_service import principal
from tests.patient.search.reading.queries import BASE, read

LABORATORY = "category=http://c|laboratory"
MOMENT = datetime(2026, 1, 1, tzinfo=UTC)


def caller(*scopes: str, patient_id: str = "", referred: Any = None) -> Caller:
    return Caller(
        principal=principal(*scopes, patient_id=patient_id),
        author=Author("user-1", "client-1", "", ""),
        reader=Reader(base_url=BASE),
        referred=referred or {},
    )


def version(resource_type: str, patient_id: str | None = None, **elements: Any) -> Version:
    body = json.dumps({"resourceType": resource_type, "id": "x", **elements})
    return Version(resource_type, "x", 1, patient_id, MOMENT, "POST", body)


def of_category(code: str, patient_id: str = "p") -> Version:
    category = [{"coding": [{"system": "http://c", "code": code}]}]
    return version("Observation", patient_id, category=category)


def test_types_of_a_record_belong_to_a_patient() -> None:
    for name in ("Patient", "Observation", "Encounter", "Coverage"):
        assert is_owned_type(name)
    for name in ("Practitioner", "Organization", "Medication"):
        assert not is_owned_type(name)


def test_criterion_of_a_scope_is_everything_nothing_or_what_it_names() -> None:
    assert caller("user/Patient.rs").criterion("Patient", "r") == EVERYTHING
    beside = caller("user/Patient.rs", "user/Patient.rs?gender=male")
    assert beside.criterion("Patient", "r") == EVERYTHING
    assert caller("user/Patient.rs").criterion("Patient", "u") == NOTHING
    assert caller("user/Patient.rs").criterion("Observation", "r") == NOTHING
    own = caller("patient/*.rs", patient_id="p")
    assert own.criterion("Observation", "s") == Owned(patient_id="p")
    limited = caller(f"user/Observation.rs?{LABORATORY}")
    laboratory = read(LABORATORY, "Observation").criteria["Observation"]
    assert limited.criterion("Observation", "s") == laboratory
    both = caller(
        f"patient/Observation.rs?{LABORATORY}", "user/Observation.rs?status=final", patient_id="p"
    ).criterion("Observation", "s")
    final = read("status=final", "Observation").criteria["Observation"]
    assert isinstance(both, AnyOf)
    assert {str(each) for each in both.criteria} == {
        str(AllOf(criteria=(Owned(patient_id="p"), laboratory))),
        str(final),
    }
    # What the type does not have reaches nothing.
    assert caller("user/Patient.rs?status=final").criterion("Patient", "s") == NOTHING


def test_steps_into_other_types_are_held_to_what_is_reached_there() -> None:
    by = caller(
        "user/Observation.rs", f"user/Encounter.rs?{LABORATORY}", "user/Encounter.rs?status=x"
    )
    reachable = by.criterion("Encounter", "s")
    inner = Identity(hashes=(1,))
    held = AllOf(criteria=(inner, reachable))

    def chain(kind: str, criterion: Criterion) -> Chain:
        return Chain(resource_type="A", parameter="b", target_type=kind, criterion=criterion)

    def has(kind: str, criterion: Criterion) -> Has:
        return Has(source_type=kind, parameter="b", criterion=criterion)

    def wrapped(criterion: Criterion) -> Criterion:
        within = Not(criterion=Contained(path="A.b:C", criterion=criterion))
        return AllOf(criteria=(inner, AnyOf(criteria=(within,))))

    for step in (chain, has):
        assert by.limited(step("Encounter", inner)) == step("Encounter", held)
        assert by.limited(step("Observation", inner)) == step("Observation", inner)
        assert by.limited(wrapped(step("Encounter", inner))) == wrapped(step("Encounter", held))
        nested = step("Observation", step("Encounter", inner))
        assert by.limited(nested) == step("Observation", step("Encounter", held))
        for refused in (step("Patient", inner), wrapped(step("Patient", inner))):
            with pytest.raises(Forbidden, match="insufficient_scope"):
                by.limited(refused)
    assert by.limited(inner) == inner
    hierarchy = Hierarchy(
        resource_type="A",
        parameter="b",
        target_type="Encounter",
        parent="part-of",
        targets=(1,),
        is_upward=False,
    )
    found = by.limited(hierarchy)
    assert isinstance(found, Hierarchy) and found.reachable == reachable
    with pytest.raises(Forbidden):
        caller("user/Patient.rs").limited(hierarchy)


@pytest.mark.parametrize(
    ("scopes", "patient_id", "expected"),
    [
        (("patient/Observation.cu",), "p", True),
        (("patient/Observation.cu", "user/Observation.r"), "p", True),
        (("patient/Observation.c", "user/Observation.u"), "p", False),
        (("patient/Observation.u", "user/Observation.c"), "p", False),
        (("user/Observation.cu",), "", False),
    ],
)
def test_writers_of_one_patient_alone_are_known(
    scopes: tuple[str, ...], patient_id: str, expected: bool
) -> None:
    assert caller(*scopes, patient_id=patient_id).is_of_one_patient("Observation") is expected


def test_version_is_disclosed_to_whom_a_scope_reaches() -> None:
    laboratory = caller(f"user/Observation.rs?{LABORATORY}")
    assert laboratory.disclosure_of(of_category("laboratory"), "r") is Disclosure.BODY
    assert laboratory.disclosure_of(of_category("other"), "r") is Disclosure.NOTHING
    own = caller(f"patient/Observation.rs?{LABORATORY}", patient_id="p")
    assert own.disclosure_of(of_category("laboratory"), "r") is Disclosure.BODY
    assert own.disclosure_of(of_category("laboratory", "q"), "r") is Disclosure.NOTHING
    assert own.disclosure_of(of_category("other"), "r") is Disclosure.NOTHING
    everything = caller("patient/*.rs", patient_id="p")
    assert everything.disclosure_of(of_category("other"), "r") is Disclosure.BODY
    # A deleted version says nothing of its category.
    gone = Version("Observation", "x", 2, "p", MOMENT, "DELETE", None)
    assert own.disclosure_of(gone, "r") is Disclosure.NOTHING
    assert everything.disclosure_of(gone, "r") is Disclosure.BODY
    finder = caller("user/Observation.s")
    assert finder.disclosure_of(of_category("other"), "s") is Disclosure.LOCATION


def test_patient_reads_what_the_record_refers_to_and_changes_none_of_it() -> None:
    doctor = version("Practitioner")
    found = frozenset((resource_hash("Practitioner", "x"),))
    own = caller("patient/*.cruds", patient_id="p", referred={"p": found})
    other = caller("patient/*.cruds", patient_id="q", referred={"p": found})
    assert own.disclosure_of(doctor, "r") is Disclosure.BODY
    assert other.disclosure_of(doctor, "r") is Disclosure.NOTHING
    for interaction in "ud":
        with pytest.raises(Forbidden, match="insufficient_scope"):
            own.disclosure_of(doctor, interaction)
        assert other.disclosure_of(doctor, interaction) is Disclosure.NOTHING
        assert own.disclosure_of(version("Observation", "p"), interaction) is Disclosure.BODY
    by_user = caller("patient/*.cruds", "user/Practitioner.cruds", patient_id="p")
    assert by_user.disclosure_of(doctor, "u") is Disclosure.BODY


def test_change_is_made_by_whom_a_scope_reaches() -> None:
    change = change_of(
        {"resourceType": "Observation", "subject": {"reference": "Patient/p"}},
        id="x",
        base_url=BASE,
        recorded_at=MOMENT,
        method="POST",
    )
    own = caller("patient/Observation.cr", patient_id="p")
    assert own.check_change(change, "c") is Disclosure.BODY
    assert caller("user/Observation.c").check_change(change, "c") is Disclosure.LOCATION
    for by, interaction in ((own, "u"), (caller("patient/Observation.cr", patient_id="q"), "c")):
        with pytest.raises(Forbidden, match="insufficient_scope"):
            by.check_change(change, interaction)


class Referring:
    """A database whose records refer to one practitioner each."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    async def fetch(self, statement: str, *arguments: Any) -> Any:
        self.asked.append(arguments)
        return []

    async def fetchval(self, statement: str, *arguments: Any) -> Any:
        self.asked.append(arguments)
        return []


@pytest.mark.parametrize(
    ("scope", "patient_id", "resource_type", "is_read"),
    [
        ("patient/*.r", "p", "Practitioner", True),
        ("patient/*.u", "p", "Practitioner", True),
        ("patient/*.s", "p", "Practitioner", True),
        ("patient/*.r", "p", "Observation", False),
        ("user/*.r", "", "Practitioner", False),
        ("patient/Observation.r", "p", "Practitioner", False),
    ],
)
async def test_what_a_record_refers_to_is_read_once_where_it_decides(
    scope: str, patient_id: str, resource_type: str, is_read: bool
) -> None:
    by = caller(scope, patient_id=patient_id)
    database: Any = Referring()
    for _ in range(2):
        await by.load_referred(database, resource_type)
    assert len(database.asked) == (1 if is_read else 0)
    assert by.referred == ({"p": frozenset()} if is_read else {})


def test_rule_of_a_scope_is_read_once() -> None:
    by = caller(f"user/Observation.rs?{LABORATORY}")
    rule = AccessRule(None, (("status", "final"),))
    assert by.rule_criterion("Observation", rule) is by.rule_criterion("Observation", rule)
    assert by.rule_criterion("Patient", rule) == NOTHING
