"""Which patient an application is launched for: the person's own, the launch's, or one that a
clinician chooses here.

Names are looked up at the patient service with a token of the person who chooses: its
scopes, its audit.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
import msgspec
from authlib.oauth2.rfc6749 import InvalidRequestError
from authlib.oidc.core.errors import InteractionRequiredError
from starlette.requests import Request
from starlette.responses import Response

from apps.auth.oauth.authlib_starlette import StarletteOAuth2Request
from apps.auth.oauth.authorization_server import IdentityServer
from apps.auth.oauth.clients import Client
from apps.auth.oauth.launches import LaunchContext, select_launch
from apps.auth.oauth.tokens import sign_lookup_token
from apps.auth.pages.rendering import page
from apps.auth.people.roles import may_pick_patient
from apps.auth.people.user_fields import RESOURCE_ID
from apps.auth.people.users import User
from apps.auth.texts import Texts, texts_of
from apps.kit.answer_body import read_answer
from apps.kit.texts import N_

MAX_RESULTS = 20
MAX_SEARCH_CHARS = 100
TIMEOUT_SECONDS = 5.0
MAX_ANSWER_BYTES = 256 * 1024
GENDERS = {
    "female": N_("female"),
    "male": N_("male"),
    "other": N_("other gender"),
    "unknown": N_("gender unknown"),
}

log = logging.getLogger(__name__)


class PatientNeeded(Exception):  # not an error: the picker answers
    """The person has to choose a patient first."""


@dataclass(frozen=True, slots=True)
class Choice:
    id: str
    name: str
    details: str


def wants_patient(scopes: tuple[str, ...], client: Client) -> bool:
    """Tells whether the application asks for one patient, and was registered to.

    One that asks for `user/` scopes too serves staff and patients alike: it says `launch/patient`
    if it means one.
    """
    asked = set(scopes or client.scopes)
    if "launch/patient" in asked:
        return "launch/patient" in client.scopes
    is_for_patients = any(scope.startswith("patient/") for scope in asked)
    is_for_staff = any(scope.startswith("user/") for scope in asked)
    may_have = any(scope.startswith("patient/") for scope in client.scopes)
    return is_for_patients and not is_for_staff and may_have


async def read_launch(
    server: IdentityServer, asked: StarletteOAuth2Request, user: User, chosen: str
) -> LaunchContext:
    """Returns what the application is launched for. Raises PatientNeeded where the person has
    yet to choose.

    `chosen`: the id that the picker's form sent. That form is protected against other sites, and
    the person may read every patient: any id is one that they may choose.
    """
    data = asked.payload.data
    client: Client = asked.client
    scopes = server.split_scope(data.get("scope"))
    if "launch" in data:
        if "launch" not in scopes or "launch" not in client.scopes:
            raise InvalidRequestError("'launch' needs the scope launch")
        launch = await select_launch(
            server.connection, data["launch"], user_id=user.id, client_id=client.id
        )
        if launch is None:
            raise InvalidRequestError("'launch' is unknown, used, too old, or for somebody else")
        return launch

    if user.patient_id or not wants_patient(scopes, client):
        return LaunchContext(user.patient_id)
    if not may_pick_patient(user.roles):
        return LaunchContext()
    if chosen and RESOURCE_ID.fullmatch(chosen):
        return LaunchContext(chosen)
    if "none" in data.get("prompt", "").split():
        raise InteractionRequiredError()
    raise PatientNeeded


async def show_picker(
    request: Request, server: IdentityServer, client: Client, user: User, fields: Mapping[str, str]
) -> Response:
    """Shows the page where the person searches and chooses."""
    wanted = fields.get("patient_search", "").strip()[:MAX_SEARCH_CHARS]
    choices: list[Choice] = []
    error = ""
    if wanted:
        token = sign_lookup_token(server.ring.active, server.settings.issuer, user)
        try:
            found = await search_patients(server.settings.patient_url, token, wanted)
            choices = [describe(texts_of(request), patient) for patient in found]
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError, KeyError) as failure:
            log.warning("no search for patients", extra={"error": type(failure).__name__})
            error = texts_of(request).gettext(
                "The search does not answer at the moment. Please try again."
            )
    return page(
        request,
        "patient_picker.html",
        query=request.url.query,
        client_name=client.name,
        wanted=wanted,
        choices=choices,
        is_cut=len(choices) == MAX_RESULTS,
        error=error,
    )


async def search_patients(patient_url: str, token: str, wanted: str) -> list[Any]:
    """Returns patients by an identifier, if the text has digits and somebody has it, else by a
    part of the name.
    """
    if any(letter.isdigit() for letter in wanted):
        found = await search_by(patient_url, token, "identifier", wanted)
        if found:
            return found
    return await search_by(patient_url, token, "name", wanted)


async def search_by(patient_url: str, token: str, parameter: str, wanted: str) -> list[Any]:
    # A comma would ask for either of two values.
    value = wanted.replace("\\", " ").replace(",", " ").replace("|", " ").replace("$", " ")
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
    async with (
        aiohttp.ClientSession(timeout=timeout) as session,
        session.get(
            f"{patient_url}/fhir/R4/Patient",
            params={parameter: value, "_count": str(MAX_RESULTS)},
            headers={"Authorization": f"Bearer {token}"},
            allow_redirects=False,
        ) as answer,
    ):
        answer.raise_for_status()
        # A longer one is no JSON any more.
        bundle = msgspec.json.decode(await read_answer(answer, MAX_ANSWER_BYTES))
    return [entry["resource"] for entry in bundle.get("entry", ())]


def describe(texts: Texts, patient: Mapping[str, Any]) -> Choice:
    """Returns what tells a patient from others: name, birth date, gender, identifiers."""
    names = patient.get("name") or [{}]
    name = names[0].get("text") or " ".join(
        [*names[0].get("given", ()), names[0].get("family", "")]
    )
    identifiers = [one.get("value", "") for one in patient.get("identifier", ())][:2]
    gender = texts.gettext(GENDERS.get(patient.get("gender", ""), ""))
    details = [patient.get("birthDate", ""), gender, *identifiers]
    return Choice(
        id=patient["id"],
        name=name.strip() or texts.gettext("Without a name"),
        details=", ".join(detail for detail in details if detail),
    )
