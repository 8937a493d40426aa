"""HAPI's client for Java against the running platform: every kind of call that it offers."""

import json
import secrets
from typing import Any

import pytest

from tests.fhir.clients.access import TIMEOUT_SECONDS, base_url, fetch_token
from tests.fhir.hapi import fhir_context

pytestmark = pytest.mark.clients

MODEL = "org.hl7.fhir.r4.model."
LOINC = "http://loinc.org"


def java(name: str) -> Any:
    import jpype

    return jpype.JClass(name)


def pulse(patient: str, day: str) -> str:
    return json.dumps(
        {
            "resourceType": "Observation",
            "status": "final",
            "code": {"coding": [{"system": LOINC, "code": "8867-4"}]},
            "subject": {"reference": patient},
            "effectiveDateTime": day,
            "valueQuantity": {"value": 60, "unit": "/min"},
        }
    )


@pytest.fixture(scope="module")
def client() -> Any:
    context = fhir_context()
    factory = context.getRestfulClientFactory()
    factory.setSocketTimeout(TIMEOUT_SECONDS * 1000)
    made = factory.newGenericClient(base_url())
    interceptor = java("ca.uhn.fhir.rest.client.interceptor.BearerTokenAuthInterceptor")
    made.registerInterceptor(interceptor(fetch_token()))
    return made


@pytest.fixture(scope="module")
def family() -> str:
    return f"Hapi{secrets.token_hex(4)}"


@pytest.fixture(scope="module")
def patient(client: Any, family: str) -> Any:
    """The id of a patient with three observations."""
    text = json.dumps({"resourceType": "Patient", "name": [{"family": family, "given": ["Ada"]}]})
    outcome = client.create().resource(text).execute()
    assert outcome.getCreated()
    id = outcome.getId().toUnqualifiedVersionless()
    for day in ("2024-01-01", "2024-01-02", "2024-01-03"):
        client.create().resource(pulse(str(id.getValue()), day)).execute()
    return id


def search(client: Any, url: str) -> Any:
    bundle = java(MODEL + "Bundle").class_
    return client.search().byUrl(url).returnBundle(bundle).execute()


def test_metadata(client: Any) -> None:
    statement = client.capabilities().ofType(java(MODEL + "CapabilityStatement").class_).execute()
    assert str(statement.getFhirVersion().toCode()) == "4.0.1"


def test_read_and_version_read(client: Any, patient: Any, family: str) -> None:
    kind = java(MODEL + "Patient").class_
    read = client.read().resource(kind).withId(patient.getIdPart()).execute()
    assert str(read.getNameFirstRep().getFamily()) == family
    version = client.read().resource(kind).withIdAndVersion(patient.getIdPart(), "1").execute()
    assert str(version.getMeta().getVersionId()) == "1"
    unchanged = (
        client.read()
        .resource(kind)
        .withId(patient.getIdPart())
        .ifVersionMatches(read.getMeta().getVersionId())
        .returnNull()
        .execute()
    )
    assert unchanged is None


def test_update_with_a_version(client: Any, family: str) -> None:
    text = json.dumps({"resourceType": "Patient", "name": [{"family": family + "Update"}]})
    made = client.create().resource(text).execute().getResource()
    made.setActive(True)
    outcome = client.update().resource(made).execute()
    assert str(outcome.getId().getVersionIdPart()) == "2"
    made.setActive(False)
    stale = java("ca.uhn.fhir.rest.server.exceptions.PreconditionFailedException")
    # It sends the version that it knows.
    with pytest.raises(stale):
        client.update().resource(made).execute()


def test_conditional_create_and_update(client: Any) -> None:
    value = secrets.token_hex(8)
    text = json.dumps(
        {"resourceType": "Patient", "identifier": [{"system": "urn:hapi", "value": value}]}
    )
    query = f"Patient?identifier=urn:hapi|{value}"
    first = client.create().resource(text).conditionalByUrl(query).execute()
    second = client.create().resource(text).conditionalByUrl(query).execute()
    assert str(first.getId().getIdPart()) == str(second.getId().getIdPart())
    changed = client.update().resource(text).conditionalByUrl(query).execute()
    assert str(changed.getId().getIdPart()) == str(first.getId().getIdPart())
    client.delete().resourceConditionalByUrl(query).execute()
    assert search(client, query).getEntry().size() == 0


def test_patches(client: Any, patient: Any) -> None:
    body = json.dumps([{"op": "add", "path": "/birthDate", "value": "1980-01-02"}])
    client.patch().withBody(body).withId(patient).execute()
    part = java(MODEL + "Parameters")()
    operation = part.addParameter()
    operation.setName("operation")
    operation.addPart().setName("type").setValue(java(MODEL + "CodeType")("add"))
    operation.addPart().setName("path").setValue(java(MODEL + "StringType")("Patient"))
    operation.addPart().setName("name").setValue(java(MODEL + "StringType")("gender"))
    operation.addPart().setName("value").setValue(java(MODEL + "CodeType")("female"))
    client.patch().withFhirPatch(part).withId(patient).execute()
    kind = java(MODEL + "Patient").class_
    read = client.read().resource(kind).withId(patient.getIdPart()).execute()
    assert str(read.getGender().toCode()) == "female"
    assert str(read.getBirthDateElement().getValueAsString()) == "1980-01-02"


def test_search_features(client: Any, patient: Any, family: str) -> None:
    url = f"Observation?patient={patient.getValue()}"
    for more, entries in (
        ("", 3),
        ("&_sort=-date", 3),
        ("&_include=Observation:subject", 4),
        ("&_count=2", 2),
        ("&_summary=count", 0),
        ("&code=http://loinc.org|8867-4&date=ge2024-01-02", 2),
    ):
        assert search(client, url + more).getEntry().size() == entries, more
    total = search(client, url + "&_total=accurate")
    assert total.getTotal() == 3
    by_chain = search(client, f"Observation?patient.family:exact={family}")
    assert by_chain.getEntry().size() == 3
    reverse = search(client, f"Patient?family={family}&_revinclude=Observation:subject")
    assert reverse.getEntry().size() >= 4


def test_search_by_the_fluent_interface_and_by_post(client: Any, patient: Any, family: str) -> None:
    kind = java(MODEL + "Patient")
    bundle = java(MODEL + "Bundle").class_
    style = java("ca.uhn.fhir.rest.api.SearchStyleEnum")
    for chosen in (style.GET, style.POST, style.GET_WITH_SEARCH):
        found = (
            client.search()
            .forResource(kind.class_)
            .where(kind.FAMILY.matchesExactly().value(family))
            .usingStyle(chosen)
            .encodedJson()
            .returnBundle(bundle)
            .execute()
        )
        assert found.getEntry().size() == 1, str(chosen)


def test_paging(client: Any, patient: Any) -> None:
    page = search(client, f"Observation?patient={patient.getValue()}&_count=2")
    following = client.loadPage().next(page).execute()
    assert [page.getEntry().size(), following.getEntry().size()] == [2, 1]
    assert following.getLink("next") is None


def test_histories(client: Any, patient: Any) -> None:
    bundle = java(MODEL + "Bundle").class_
    kind = java(MODEL + "Patient").class_
    of_one = client.history().onInstance(patient).returnBundle(bundle).execute()
    of_type = (
        client.history()
        .onType(kind)
        .returnBundle(bundle)
        .count(java("java.lang.Integer")(5))
        .execute()
    )
    of_all = (
        client.history()
        .onServer()
        .returnBundle(bundle)
        .count(java("java.lang.Integer")(5))
        .execute()
    )
    assert of_one.getEntry().size() >= 1
    assert 1 <= of_type.getEntry().size() <= 5 and 1 <= of_all.getEntry().size() <= 5


@pytest.mark.parametrize("kind", ["transaction", "batch"])
def test_bundles(client: Any, family: str, kind: str) -> None:
    full_url = "urn:uuid:61ebe359-bfdc-4613-8bf2-c5e300945f0a"
    patient = {"resourceType": "Patient", "name": [{"family": family + "Bundle"}]}
    entries = [{"resource": patient, "request": {"method": "POST", "url": "Patient"}}]
    if kind == "transaction":
        entries[0]["fullUrl"] = full_url
        observation = json.loads(pulse(full_url, "2024-01-01"))
        request = {"method": "POST", "url": "Observation"}
        entries.append({"resource": observation, "request": request})
    text = json.dumps({"resourceType": "Bundle", "type": kind, "entry": entries})
    bundle = fhir_context().newJsonParser().parseResource(java(MODEL + "Bundle").class_, text)
    answer = client.transaction().withBundle(bundle).execute()
    assert [str(each.getResponse().getStatus())[:3] for each in answer.getEntry()] == ["201"] * len(
        entries
    )


def test_operations(client: Any, patient: Any, family: str) -> None:
    bundle = java(MODEL + "Bundle")
    parameters = java(MODEL + "Parameters")
    everything = (
        client.operation()
        .onInstance(patient)
        .named("$everything")
        .withNoParameters(parameters.class_)
        .useHttpGet()
        .returnResourceType(bundle.class_)
        .execute()
    )
    assert everything.getEntry().size() == 4
    valid = java(MODEL + "Patient")()
    valid.addName().setFamily(family).addGiven("Ada")
    valid.setBirthDateElement(java(MODEL + "DateType")("1980-01-02"))
    outcome = client.validate().resource(valid).execute().getOperationOutcome()
    assert str(outcome.fhirType()) == "OperationOutcome"
    asked = parameters()
    asked.addParameter().setName("resource").setResource(valid)
    matches = (
        client.operation()
        .onType(java(MODEL + "Patient").class_)
        .named("$match")
        .withParameters(asked)
        .returnResourceType(bundle.class_)
        .execute()
    )
    assert any(
        each.getResource().getIdElement().getIdPart() == patient.getIdPart()
        for each in matches.getEntry()
    )


def test_delete(client: Any, patient: Any) -> None:
    made = client.create().resource(pulse(str(patient.getValue()), "2024-02-01")).execute()
    id = made.getId().toUnqualifiedVersionless()
    client.delete().resourceById(id).execute()
    gone = java("ca.uhn.fhir.rest.server.exceptions.ResourceGoneException")
    with pytest.raises(gone):
        client.read().resource(java(MODEL + "Observation").class_).withId(id.getIdPart()).execute()
