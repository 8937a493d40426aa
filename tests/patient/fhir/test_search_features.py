"""Features of R4's search, a row each."""

from typing import Any

import pytest

from tests.patient.fhir.resources import found, ids, observation, patient
from tests.patient.patient_service import PUBLIC_URL, Service, principal

pytestmark = pytest.mark.integration

BASE = f"{PUBLIC_URL}/fhir/R4"


@pytest.fixture(scope="module")
def clinic(service: Service) -> dict[str, str]:
    """Two patients with observations, an organization that runs the encounter of the first."""
    organization = service.create({"resourceType": "Organization", "name": "Featurehospital"})
    parent = {"reference": f"Organization/{organization['id']}"}
    ward = service.create({"resourceType": "Organization", "name": "Ward", "partOf": parent})
    first = service.create(patient(name=[{"family": "Chainedone"}], gender="male"))["id"]
    second = service.create(patient(name=[{"family": "Chainedtwo"}]))["id"]
    encounter = service.create(
        {
            "resourceType": "Encounter",
            "status": "finished",
            "class": {"system": "urn:x", "code": "AMB"},
            "subject": {"reference": f"Patient/{first}"},
            "serviceProvider": {"reference": f"Organization/{ward['id']}"},
        }
    )["id"]

    def reading(subject: str, value: float, day: str, **more: Any) -> str:
        made = service.create(
            observation(
                subject,
                code={"coding": [{"system": "urn:feature", "code": "glucose"}]},
                valueQuantity={
                    "value": value,
                    "unit": "mg",
                    "system": "http://unitsofmeasure.org",
                    "code": "mg",
                },
                effectiveDateTime=day,
                **more,
            )
        )
        return str(made["id"])

    return {
        "organization": organization["id"],
        "ward": ward["id"],
        "first": first,
        "second": second,
        "encounter": encounter,
        "low": reading(first, 5.4, "2020-01-03", encounter={"reference": f"Encounter/{encounter}"}),
        "high": reading(first, 9.1, "2020-01-01"),
        "other": reading(second, 7.0, "2020-01-02"),
    }


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("Observation?subject:Patient.family=chainedone&code=urn:feature|glucose", ["low", "high"]),
        ("Observation?patient.family=chainedtwo", ["other"]),
        ("Observation?encounter.service-provider.partof.name=featurehospital", ["low"]),
        ("Observation?encounter.service-provider.name=nowhere", []),
        ("Patient?_has:Observation:patient:value-quantity=gt9&family=chained", ["first"]),
        ("Patient?_has:Observation:subject:code=glucose&family=chainedtwo", ["second"]),
        ("Organization?_has:Encounter:service-provider:subject={first}", ["ward"]),
        ("Observation?code=urn:feature|glucose&value-quantity=5.4", ["low"]),
        ("Observation?code=urn:feature|glucose&value-quantity=lt6", ["low"]),
        ("Observation?code=urn:feature|glucose&value-quantity=ap9", ["high"]),
        ("Observation?value-quantity=5.4|http://unitsofmeasure.org|mg", ["low"]),
        ("Observation?value-quantity=5.4||mg", ["low"]),
        ("Observation?value-quantity=5.4||g", []),
        ("Observation?code-value-quantity=urn:feature|glucose$ge7", ["high", "other"]),
        ("Observation?code-value-quantity=other$ge7", []),
        ("Observation?combo-code=urn:feature|glucose&combo-value-quantity=gt8", ["high"]),
        ("Observation?combo-code-value-quantity=glucose$lt6", ["low"]),
        ("Observation?code=glucose&combo-code:not=glucose", []),
        ("Observation?code=glucose&combo-value-quantity:missing=true", []),
        ("Observation?code=glucose&_sort=-combo-value-quantity", ["high", "other", "low"]),
        ("Observation?code=urn:feature|glucose&_sort=date", ["high", "other", "low"]),
        ("Observation?code=urn:feature|glucose&_sort=-date", ["low", "other", "high"]),
        ("Observation?code=urn:feature|glucose&_sort=-value-quantity", ["high", "other", "low"]),
        ("Observation?code=urn:feature|glucose&_sort=patient,-date", ["low", "high", "other"]),
        ("Observation?date=2020-01-01,2020-01-02", ["high", "other"]),
        ("Observation?date=ge2020-01-02&date=lt2020-01-03&code=glucose", ["other"]),
        ("Observation?code=glucose&encounter:missing=true", ["high", "other"]),
        ("Organization?name:contains=eaturehosp", ["organization"]),
    ],
)
def test_features_of_search(
    service: Service, clinic: dict[str, str], query: str, expected: list[str]
) -> None:
    answer = found(service, query.format(**clinic))
    assert sorted(answer) == sorted(clinic[name] for name in expected), query
    if "_sort" in query:
        assert answer == [clinic[name] for name in expected]


def modes(service: Service, query: str) -> list[tuple[str, str]]:
    answer = service.call("GET", f"/fhir/R4/{query}")
    assert answer.status_code == 200, answer.text
    return [
        (entry["search"]["mode"], entry["resource"].get("id", ""))
        for entry in answer.json().get("entry", ())
    ]


def test_includes_bring_what_is_referred_to_each_once(
    service: Service, clinic: dict[str, str]
) -> None:
    low, first = clinic["low"], clinic["first"]
    query = f"Observation?_id={low}&_include=Observation:subject&_include=Observation:encounter"
    given = modes(service, f"{query}&_include:iterate=Encounter:service-provider")
    assert given[0] == ("match", low)
    assert sorted(given[1:]) == sorted(
        ("include", id) for id in (first, clinic["encounter"], clinic["ward"])
    )
    back = modes(service, f"Patient?_id={first}&_revinclude=Observation:patient")
    assert sorted(back[1:]) == sorted(("include", clinic[name]) for name in ("low", "high"))


def test_compartment_holds_the_patients_own(service: Service, clinic: dict[str, str]) -> None:
    first = clinic["first"]
    assert found(service, f"Patient/{first}/Observation?date=2020-01-01") == [clinic["high"]]
    everything = found(service, f"Patient/{first}/*")
    assert set(everything) == {clinic[name] for name in ("low", "high", "encounter")}
    assert service.call("GET", f"/fhir/R4/Patient/{first}/Practitioner").status_code == 404


def test_compartment_of_nobody_is_no_empty_answer(service: Service) -> None:
    deleted = service.register()
    other = service.register()
    assert service.call("DELETE", f"/fhir/R4/Patient/{deleted}").status_code == 204
    service.verifier.principals["one"] = principal(
        "patient/Patient.rs", "patient/Claim.rs", patient_id=other
    )
    service.verifier.principals["claims"] = principal("user/Claim.rs")
    for id, by, status in (
        ("nobody", "all", 404),
        (deleted, "all", 410),
        (deleted, "one", 404),
        (other, "one", 200),
        # Who may not read patients does not learn who is there.
        ("nobody", "claims", 200),
    ):
        got = service.call("GET", f"/fhir/R4/Patient/{id}/Claim", by=by)
        posted = service.call("POST", f"/fhir/R4/Patient/{id}/_search", by=by, data={"_count": "1"})
        assert (got.status_code, posted.status_code) == (status, status), (id, by)
    # The scope is asked for first.
    service.verifier.principals["patients"] = principal("user/Patient.rs")
    refused = service.call("GET", "/fhir/R4/Patient/nobody/Claim", by="patients")
    assert refused.status_code == 403
    # Who opened the record stays to be seen.
    audited = service.call("GET", f"/fhir/R4/Patient/{deleted}/AuditEvent")
    assert audited.json()["entry"]


def test_compartment_is_searched_by_post_too(service: Service, clinic: dict[str, str]) -> None:
    base = f"Patient/{clinic['first']}"
    for path, same in ((f"{base}/Observation", f"{base}/Observation"), (base, f"{base}/*")):
        form = {"_count": "1", "_sort": "-_lastUpdated"}
        posted = service.call("POST", f"/fhir/R4/{path}/_search", data=form)
        got = service.call("GET", f"/fhir/R4/{same}?_count=1&_sort=-_lastUpdated")
        assert ids(posted) == ids(got)
        for answer in (posted, got):
            links = {link["relation"]: link["url"] for link in answer.json()["link"]}
            assert links["self"].startswith(f"{BASE}/{same}?")
            following = service.call("GET", links["next"].removeprefix(PUBLIC_URL))
            assert len(ids(following)) == 1
            assert ids(following) != ids(posted)
    assert service.call("GET", f"/fhir/R4/{base}/_search").status_code == 405
    refused = service.call("POST", f"/fhir/R4/{base}/Observation/_search", data={"shoe": "44"})
    assert refused.status_code == 400


def test_system_search_takes_types(service: Service, clinic: dict[str, str]) -> None:
    answer = found(service, f"?_type=Patient,Organization&_id={clinic['ward']},{clinic['first']}")
    assert set(answer) == {clinic["ward"], clinic["first"]}
    assert service.call("GET", "/fhir/R4?_type=Nonsense").status_code == 400


def test_parts_of_resources_are_marked(service: Service, clinic: dict[str, str]) -> None:
    query = f"/fhir/R4/Patient?_id={clinic['first']}"
    part = service.call("GET", f"{query}&_elements=gender").json()["entry"][0]["resource"]
    assert set(part) == {"resourceType", "id", "meta", "gender"}
    assert part["meta"]["tag"][-1]["code"] == "SUBSETTED"
    summary = service.call("GET", f"{query}&_summary=true").json()["entry"][0]["resource"]
    assert "name" in summary
    assert service.call("GET", f"{query}&_count=0").json()["total"] == 1


def test_cursor_of_another_query_is_refused(service: Service, clinic: dict[str, str]) -> None:
    page = service.call("GET", "/fhir/R4/Observation?code=glucose&_count=1").json()
    url = next(link["url"] for link in page["link"] if link["relation"] == "next")
    cursor = url.partition("_cursor=")[2]
    assert service.call("GET", url.removeprefix(PUBLIC_URL)).status_code == 200
    for query in (
        f"code=other&_count=1&_cursor={cursor}",
        f"code=glucose&_count=1&_cursor={cursor}A",
    ):
        assert service.call("GET", f"/fhir/R4/Observation?{query}").status_code == 400
