"""A search that makes no sense is refused, never answered, and one that makes sense is read."""

import pytest

from apps.kit.errors import BadRequest
from apps.patient.search.criteria.criteria import (
    AllOf,
    AnyOf,
    Chain,
    Contained,
    Criterion,
    Identity,
    Updated,
    count_parts,
)
from apps.patient.search.index.hashing import path_steps
from apps.patient.search.reading import limits, reader
from apps.patient.search.reading.reader import Reader
from apps.patient.search.values.asked import Asked
from apps.patient.search.values.parsing import parse_values
from tests.patient.search.reading.queries import BASE, read


@pytest.mark.parametrize(
    "query",
    [
        "active=maybe",
        "active=http://wrong|true",
        "active:text=true",
        "gender:text=male",
        "gender:of-type=a|b|c",
        "birthdate:text=2020",
        "gender:in=http://wrong/ValueSet/administrative-gender",
        "gender:in=http://hl7.org/fhir/ValueSet/administrative-gender|5.0.0",
        "phone:in=administrative-gender",
        "general-practitioner=Patient/1",
        "_profile:below=urn:oid:1.2.3",
        "_elements=bogus",
        "_elements=name,bogus",
        "_elements=Observation.code",
        "_elements=",
        "_count=-1",
        "_count=ten",
        "_count=5&_count=6",
        "_total=accurate&_total=none",
        "_summary=maybe",
        "_summary=true&_summary=data",
        "_summary=text&_include=Patient:organization",
        "_sort=",
        "_sort=-",
        "_sort=shoe",
        "_sort:desc=name",
        "_sort=name,birthdate,gender,_id",
        "_include=Patient:shoe",
        "_include=Patient:organization:Banana",
        "_include=Patient:organization:Patient",
        "_include=Observation:subject",
        "_include:banana=Patient:organization",
        "_include=Patient",
        "_include=",
        "_revinclude=Encounter:service-provider",
        "_revinclude=Observation:performer:Practitioner",
        "_revinclude=Banana:subject",
        "_has:Observation:patient=x",
        "_has:Banana:patient:code=x",
        "_has:Observation:encounter:code=x",
        "general-practitioner:Banana.name=x",
        "general-practitioner:Patient.name=x",
        "_has:Observation:status:code=x",
        "_text=(bone",
        "language:above=urn:x|en",
        "gender.name=x",
        "_type=Observation",
        "_lastUpdated=soon",
        "_lastUpdated:below=2020",
        "_id:below=x",
    ],
)
def test_search_is_refused_by_the_name_of_what_is_wrong(query: str) -> None:
    with pytest.raises(BadRequest) as refused:
        read(query, "Patient")
    assert refused.value.faults[0].pointer


@pytest.mark.parametrize("lenient", [False, True])
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("shoe eq 44", "shoe is not served"),
        ("gender co male", "gender: the operator co is not for a token"),
        ("birthdate ge soon", "birthdate: expected a date"),
        ("organization.shoe eq 44", "organization is not served"),
        ("name", "expected one of"),
    ],
)
def test_filter_tells_which_parameter_is_wrong(text: str, words: str, lenient: bool) -> None:
    with pytest.raises(BadRequest) as refused:
        Reader(base_url=BASE, lenient=lenient).read(("Patient",), [("_filter", text)])
    assert refused.value.faults[0].pointer == "_filter"
    assert words in refused.value.faults[0].message


@pytest.mark.parametrize(
    "query",
    [
        "_elements=name,Patient.gender,multipleBirth,deceasedBoolean,meta",
        "_count=5&_count=5",
        "_include=Patient:organization:Organization",
        "_include=*",
        "_include:iterate=Organization:partof",
        "_revinclude=Provenance:target",
        "_revinclude=Observation:performer:Patient",
        "_revinclude:iterate=Observation:encounter",
        "_summary=text",
        "active=true,false",
        "gender:in=ValueSet/administrative-gender",
        "gender:in=http://hl7.org/fhir/ValueSet/administrative-gender|4.0.1",
        "name:text=ana",
        "general-practitioner=http://other.test/Practitioner/1",
    ],
)
def test_search_that_makes_sense_is_read(query: str) -> None:
    assert read(query, "Patient").accepted


@pytest.mark.parametrize(
    ("resource_type", "query"),
    [
        ("DocumentReference", "contenttype:below=" + ",".join(["text"] * 31)),
        ("Patient", "&".join(["_filter=" + " or ".join(["name ew a"] * 16)] * 2)),
        ("Observation", "&".join(["subject._content=bone"] * 30)),
        (
            "AuditEvent",
            "&".join(["entity.patient.general-practitioner.organization.name=a"] * 30),
        ),
    ],
)
def test_search_of_more_than_a_few_costly_parts_is_refused(resource_type: str, query: str) -> None:
    with pytest.raises(BadRequest) as refused:
        read(query, resource_type)
    assert refused.value.code == "too_costly"


@pytest.mark.parametrize("count", [1, 12])
def test_paths_to_contained_resources_and_values_are_counted_as_they_are_read(
    monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    hashed: list[int] = []
    parse = parse_values

    def counting(asked: Asked, values: list[str]) -> Criterion:
        hashed.append(len(values))
        return parse(asked, values)

    monkeypatch.setattr(reader, "parse_values", counting)
    values = ",".join(f"v{number}" for number in range(100))
    chain = f"target.subject.general-practitioner.identifier:not={values}"
    with pytest.raises(BadRequest, match="too_costly") as refused:
        read("&".join([chain] * count), "Provenance")
    assert "name the types" in refused.value.detail
    assert sum(hashed) <= limits.MAX_VALUES_READ
    with pytest.raises(BadRequest, match="too_costly"):
        read("target.subject.general-practitioner.identifier:not=v", "Provenance")
    assert len(hashed) <= 2 * limits.MAX_STEPS_READ


@pytest.mark.parametrize(
    ("resource_type", "query"),
    [
        ("Provenance", "target.subject.general-practitioner.organization.name=a"),
        ("Provenance", "target:Observation.subject.general-practitioner.identifier:not=a"),
        ("Observation", "focus.focus.code=a"),
        ("Observation", "subject.identifier=" + ",".join(map(str, range(100)))),
    ],
)
def test_chains_that_make_sense_are_within_the_limits(resource_type: str, query: str) -> None:
    assert read(query, resource_type).accepted


def test_types_of_a_search_are_limited_by_type() -> None:
    found = read("_type=Patient,Device&_id=1", "Device", "Observation", "Patient")
    assert found.types == ("Device", "Patient")
    assert set(found.criteria) == {"Device", "Patient"}
    with pytest.raises(BadRequest):
        read("_type=Encounter", "Device", "Patient")


def test_id_and_version_are_of_no_contained_resource() -> None:
    for name, count in (
        ("name", 1),
        ("_id", 0),
        ("_lastUpdated", 0),
        ("_has:Observation:patient:code", 0),
    ):
        found = read(f"subject:Patient.{name}=2020", "Observation").criteria["Observation"]
        assert bool(count_parts(found, Contained)) == bool(count)
        assert count_parts(found, Chain) == 1


def test_columns_of_the_resource_itself_are_asked_for() -> None:
    asked = read("_id=1,2&_lastUpdated=ge2020", "Patient").criteria["Patient"]
    assert isinstance(asked, AllOf)
    ids, updated = asked.criteria
    assert isinstance(ids, Identity) and len(ids.hashes) == 2
    assert isinstance(updated, AnyOf) and isinstance(updated.criteria[0], Updated)


def test_contained_resources_are_looked_into_for_two_steps() -> None:
    steps: set[int] = set()

    def walk(criterion: Criterion) -> None:
        match criterion:
            case AllOf() | AnyOf():
                for part in criterion.criteria:
                    walk(part)
            case Chain():
                walk(criterion.criterion)
            case Contained():
                steps.add(path_steps(criterion.path))
                walk(criterion.criterion)

    query = "subject:Patient.general-practitioner:Organization.partof.name=a"
    walk(read(query, "Observation").criteria["Observation"])
    assert steps == {1, 2}


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("subject:Banana.name=x", "a reference has no modifier :Banana"),
        ("_type=" + "x" * 60, f"_type: {'x' * 50} is not searched here"),
        ("_include=Patient:" + "x" * 60, f"_include: {'x' * 50} is no reference of Patient"),
        ("_elements=" + "x" * 60, f"_elements: {'x' * 50} is no element of Patient"),
        ("_filter=encounter.part-of.part-of.part-of.part-of.status eq x", "a path has at most 4"),
    ],
)
def test_refusal_tells_what_is_wrong(query: str, told: str) -> None:
    resource_type = "Patient" if query.startswith(("_type", "_include", "_elem")) else "Observation"
    lenient = query.startswith("subject")
    with pytest.raises(BadRequest) as refused:
        read(query, resource_type, lenient=lenient)
    assert told in refused.value.detail


def test_parameter_that_is_made_of_others_asks_for_those() -> None:
    def asked(query: str) -> Criterion:
        return read(query, "Observation").criteria["Observation"]

    for modifier, value, joined in (
        ("", "1", AnyOf),
        (":missing", "false", AnyOf),
        (":not", "1", AllOf),
        (":not-in", "observation-status", AllOf),
        (":missing", "true", AllOf),
    ):
        members = tuple(asked(f"{name}{modifier}={value}") for name in ("code", "component-code"))
        assert asked(f"combo-code{modifier}={value}") == joined(criteria=members)


def test_alternatives_of_a_text_are_one_costly_part() -> None:
    assert read("_text=" + ",".join(["bone"] * 100), "Condition").accepted


@pytest.mark.parametrize(
    "query",
    ["_contained=true", "_containedType=container", "_total=many", "_summary=maybe", "_query=x"],
)
def test_lenient_handling_skips_nothing_that_changes_what_comes(query: str) -> None:
    with pytest.raises(BadRequest):
        read(query, "Patient", lenient=True)
    assert read("_contained=false&_format=json&shoe=1", "Patient", lenient=True).accepted == [
        ("_contained", "false"),
        ("_format", "json"),
    ]


def test_include_leads_to_a_type_of_r4() -> None:
    assert read("_include=Patient:*:Organization", "Patient").includes
    with pytest.raises(BadRequest, match="invalid_parameter"):
        read("_include=Patient:*:Banana", "Patient")


def test_lenient_handling_skips_elements_that_are_not_known() -> None:
    assert read("_elements=name,bogus", "Patient", lenient=True).elements == ("name",)


def test_code_that_no_resource_can_have_is_told() -> None:
    assert read("gender=banana", "Patient").warnings
    assert read("gender:not=banana", "Patient").warnings
    assert read("gender=http://wrong|male", "Patient").warnings
    assert read("status=final,finall", "Observation").warnings
    assert not read(
        "gender=male,http://hl7.org/fhir/administrative-gender|female", "Patient"
    ).warnings
    assert not read("gender=http://hl7.org/fhir/administrative-gender|", "Patient").warnings
    assert not read("code=banana", "Observation").warnings
