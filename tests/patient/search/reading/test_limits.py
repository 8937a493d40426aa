"""How much a search may ask for: so much is read, and more is refused."""

import pytest

from apps.kit.errors import BadRequest
from apps.patient.search.reading import limits, reader
from apps.patient.search.reading.filters import FilterSyntaxError, parse_filter
from apps.patient.search.reading.reader import Reader
from tests.patient.search.reading.queries import BASE, read

PARTS = "encounter" + ".part-of" * 3


@pytest.mark.parametrize(
    ("resource_type", "within", "beyond"),
    [
        (
            "Patient",
            "&".join(f"name=a{number}" for number in range(30)),
            "&".join(f"name=a{number}" for number in range(31)),
        ),
        ("Patient", "name=" + ",".join(["a"] * 100), "name=" + ",".join(["a"] * 101)),
        ("Patient", "name=" + "x" * 1_000, "name=" + "x" * 1_001),
        (
            "Patient",
            "name=" + ",".join(["x" * 1_000] * 9 + ["x" * 991]),
            "name=" + ",".join(["x" * 1_000] * 9 + ["x" * 992]),
        ),
        ("Patient", "_text=" + ",".join(["a"] * 100), "_text=" + ",".join(["a"] * 101)),
        ("Patient", "_text=" + "x" * 1_000, "_text=" + "x" * 1_001),
        ("Patient", "_count=999999999", "_count=9999999999"),
        ("Patient", "_sort=name,birthdate,_id", "_sort=name,birthdate,_id,gender"),
        (
            "Patient",
            "&".join(["_include=Patient:organization"] * 20),
            "&".join(["_include=Patient:organization"] * 21),
        ),
        ("Observation", f"{PARTS}.status=x", f"{PARTS}.part-of.status=x"),
        ("Observation", f"_filter={PARTS}.status eq x", f"_filter={PARTS}.part-of.status eq x"),
        ("Patient", "_filter=name eq " + "x" * 199, "_filter=name eq " + "x" * 200),
        ("Patient", "_profile:below=http://" + "x" * 192, "_profile:below=http://" + "x" * 193),
        (
            "Patient",
            "_filter=" + " or ".join(["name ew a"] * 30),
            "_content=a&_filter=" + " or ".join(["name ew a"] * 30),
        ),
        ("Location", "near=90|180|25000|km", "near=90.1|180|25000|km"),
        ("Location", "near=-90|-180|0|km", "near=-90|-180.1|0|km"),
        ("Location", "near=1|1|0|km", "near=1|1|-0.1|km"),
        ("Location", "near=1|1|25000", "near=1|1|25001"),
        ("Observation", "value-quantity=1e999", "value-quantity=1e1000"),
        ("Observation", "value-quantity=" + "1" * 40, "value-quantity=" + "1" * 41),
    ],
    ids=lambda value: value[:40],
)
def test_so_much_is_read_and_more_is_refused(resource_type: str, within: str, beyond: str) -> None:
    assert read(within, resource_type).accepted
    with pytest.raises(BadRequest):
        read(beyond, resource_type)


def test_name_has_a_greatest_length_where_names_that_are_not_known_are_skipped() -> None:
    assert not read("x" * 1_000 + "=1", "Patient", lenient=True).accepted
    with pytest.raises(BadRequest) as refused:
        read("x" * 1_001 + "=1", "Patient", lenient=True)
    assert "too long" in refused.value.detail


@pytest.mark.parametrize("text", ["a\x00b=1", "name=a\x00b"])
def test_nul_is_refused_where_names_that_are_not_known_are_skipped(text: str) -> None:
    with pytest.raises(BadRequest) as refused:
        read(text, "Patient", lenient=True)
    assert "NUL" in refused.value.detail


def test_name_with_a_nul_is_told_by_its_beginning() -> None:
    with pytest.raises(BadRequest) as refused:
        read("a\x00" + "x" * 60 + "=1", "Patient")
    assert refused.value.faults[0].pointer == "a" + "x" * 48


def test_name_that_is_too_long_is_told_by_its_beginning() -> None:
    with pytest.raises(BadRequest) as refused:
        read("x" * 1_001 + "=1", "Patient")
    assert refused.value.faults[0].pointer == "x" * 50
    with pytest.raises(BadRequest) as refused:
        read("x" * 1_000 + "=1", "Patient")
    assert refused.value.faults[0].pointer == "x" * 100


@pytest.mark.parametrize(
    ("name", "query"),
    [
        ("MAX_STEPS_READ", "subject.identifier=a,b,c"),
        ("MAX_VALUES_READ", "subject.identifier=a,b,c"),
        ("MAX_VALUES_READ", "code=a,b,c"),
    ],
)
def test_paths_and_values_are_read_up_to_their_limit(
    monkeypatch: pytest.MonkeyPatch, name: str, query: str
) -> None:
    found = read(query, "Observation")
    count = found.steps if name == "MAX_STEPS_READ" else found.values
    monkeypatch.setattr(reader, name, count)
    assert read(query, "Observation").accepted
    monkeypatch.setattr(reader, name, count - 1)
    with pytest.raises(BadRequest, match="too_costly"):
        read(query, "Observation")


def test_chains_lead_to_so_many_types_in_all(monkeypatch: pytest.MonkeyPatch) -> None:
    query = "patient.name=a&_has:Provenance:target:agent=Patient/1"
    monkeypatch.setattr(limits, "MAX_CHAINS", 2)
    assert read(query, "Observation").accepted
    monkeypatch.setattr(limits, "MAX_CHAINS", 1)
    with pytest.raises(BadRequest, match="too_costly"):
        read(query, "Observation")


@pytest.mark.parametrize(
    ("within", "beyond"),
    [
        ("a eq " + "1" * 1_995, "a eq " + "1" * 1_996),
        (" and ".join(["a eq 1"] * 30), " and ".join(["a eq 1"] * 31)),
        ("(" * 10 + "a eq 1" + ")" * 10, "(" * 11 + "a eq 1" + ")" * 11),
        (
            "a[" * 10 + "b eq 1" + "].b eq 1" * 10,
            "a[" * 11 + "b eq 1" + "].b eq 1" * 11,
        ),
    ],
)
def test_filter_is_read_up_to_its_limits(within: str, beyond: str) -> None:
    parse_filter(within)
    with pytest.raises(FilterSyntaxError, match="at most"):
        parse_filter(beyond)


@pytest.mark.parametrize(
    ("shorter", "longest", "longer"),
    [
        ("name:contains=" + "x" * 199, "name:contains=" + "x" * 200, "name:contains=" + "x" * 201),
        ("name=a b c d e f g", "name=a b c d e f g h", "name=a b c d e f g h i"),
    ],
)
def test_text_is_searched_by_its_beginning(shorter: str, longest: str, longer: str) -> None:
    criteria = [read(query, "Patient").criteria for query in (shorter, longest, longer)]
    assert criteria[0] != criteria[1] == criteria[2]


def test_page_has_at_most_a_hundred_resources() -> None:
    counts = [read(f"_count={count}", "Patient").count for count in (0, 99, 100, 101, 999_999_999)]
    assert counts == [0, 99, 100, 100, 100]
    for text in ("²", "٣", " 1", "1.0", ""):
        with pytest.raises(BadRequest):
            Reader(base_url=BASE).read(("Patient",), [("_count", text)])
