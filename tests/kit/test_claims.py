"""What stands in a token and in a set of keys: read exactly, or refused."""

import json
from base64 import urlsafe_b64encode
from typing import Any

import pytest

from apps.kit.claims import parse_keys, read_key_id, read_principal, read_thumbprint
from apps.kit.errors import Unauthorized
from tests.kit.signed_tokens import EC, ISSUER, RSA, Clock, sign

PUBLIC = {"rsa-1": RSA.as_dict(private=False), "ec-1": EC.as_dict(private=False)}


def read(**claims: Any) -> Any:
    token = sign(RSA, None, **claims)
    return read_principal(token, RSA, issuer=ISSUER, audiences=(ISSUER,), now=Clock().now)


def test_whom_the_token_names_is_read_field_by_field() -> None:
    principal = read(
        patient="p-1",
        family="f-1",
        encounter="e-1",
        fhirUser="Practitioner/7",
        cnf={"jkt": "thumbprint"},
    )
    assert (principal.subject, principal.client_id, principal.token_id) == (
        "user-1",
        "client-1",
        "token-1",
    )
    assert (principal.patient_id, principal.family, principal.encounter_id) == (
        "p-1",
        "f-1",
        "e-1",
    )
    assert (principal.fhir_user, principal.key_thumbprint) == ("Practitioner/7", "thumbprint")


def test_what_the_token_does_not_name_is_none() -> None:
    principal = read(family=None)
    assert (principal.patient_id, principal.family, principal.encounter_id) == (None, None, None)
    assert (principal.fhir_user, principal.key_thumbprint) == (None, None)


@pytest.mark.parametrize("name", ["sub", "client_id", "jti", "patient", "family", "encounter"])
@pytest.mark.parametrize("value", ["", 7, ["p-1"]])
def test_id_that_is_none_is_refused(name: str, value: Any) -> None:
    with pytest.raises(Unauthorized, match="invalid_token"):
        read(**{name: value})


@pytest.mark.parametrize(
    "confirmation", [None, [], "jkt", {}, {"x5t#S256": "x"}, {"jkt": "x", "more": 1}, {"jkt": 7}]
)
def test_token_that_is_bound_in_an_unknown_way_is_refused(confirmation: Any) -> None:
    with pytest.raises(Unauthorized):
        read_thumbprint(confirmation)


@pytest.mark.parametrize("audience", [[ISSUER], ["others", ISSUER]])
def test_audience_may_be_one_of_a_list(audience: list[str]) -> None:
    assert read(aud=audience).audience == ISSUER


@pytest.mark.parametrize("header", [{"alg": "RS512", "kid": "rsa-1"}, {"alg": "RS256"}])
def test_key_is_named_for_an_algorithm_of_ours(header: dict[str, Any]) -> None:
    assert read_key_id(sign()) == "rsa-1"
    encoded = urlsafe_b64encode(json.dumps(header).encode()).rstrip(b"=").decode()
    with pytest.raises(Unauthorized):
        read_key_id(f"{encoded}.e30.AA")


@pytest.mark.parametrize(
    "changes",
    [{"use": "enc"}, {"alg": "PS256"}, {"alg": None}, {"kid": 7}, {"n": "*"}],
)
def test_key_for_anything_else_is_left_out(changes: dict[str, Any]) -> None:
    other = {**PUBLIC["rsa-1"], "kid": "other", **changes}
    assert set(parse_keys({"keys": [other, *PUBLIC.values()]})) == {"rsa-1", "ec-1"}


def test_key_that_states_no_use_is_for_signatures() -> None:
    key = {name: value for name, value in PUBLIC["ec-1"].items() if name != "use"}
    assert set(parse_keys({"keys": [key]})) == {"ec-1"}


def test_set_without_keys_is_refused() -> None:
    with pytest.raises(ValueError, match="no keys"):
        parse_keys({"keys": []})
