"""Vital signs: which there are, the form of all of them, and the Observations made of it."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from apps.console.neighbours.api import FHIR
from apps.console.neighbours.calls import ApiError
from apps.console.screens.chart import load_banner
from apps.console.screens.clinical_resources import (
    LOINC,
    OBSERVATION_CATEGORY,
    UCUM,
    Context,
    Resource,
    Values,
    base,
    coding,
)
from apps.console.screens.encounters import context_of
from apps.console.screens.form_values import read_number
from apps.console.web.people import ScreenRoute, person_of
from apps.console.web.rendering import go_to, page
from apps.kit.context import new_id
from apps.kit.texts import N_
from apps.kit.web import Operation, smart

CREATE = smart("c", "Observation")


@dataclass(frozen=True, slots=True, kw_only=True)
class VitalSign:
    """A vital sign of FHIR's own profiles: LOINC code, UCUM unit, and what a person can have."""

    name: str
    label: str
    code: str
    display: str
    unit: str
    ucum: str
    low: Decimal
    high: Decimal


VITAL_SIGNS = tuple(
    VitalSign(
        name=name,
        label=label,
        code=code,
        display=display,
        unit=unit,
        ucum=ucum,
        low=Decimal(low),
        high=Decimal(high),
    )
    for name, label, code, display, unit, ucum, low, high in (
        ("systolic", N_("Blood pressure, systolic"), "8480-6", "Systolic blood pressure", "mmHg",
            "mm[Hg]", 30, 350),
        ("diastolic", N_("Blood pressure, diastolic"), "8462-4", "Diastolic blood pressure", "mmHg",
            "mm[Hg]", 10, 250),
        ("pulse", N_("Heart rate"), "8867-4", "Heart rate", "/min", "/min", 10, 350),
        ("breaths", N_("Respiratory rate"), "9279-1", "Respiratory rate", "/min", "/min", 2, 120),
        ("temperature", N_("Body temperature"), "8310-5", "Body temperature", "°C", "Cel", 20, 45),
        ("saturation", N_("Oxygen saturation"), "59408-5", "Oxygen saturation by pulse oximetry",
            "%", "%", 20, 100),
        ("weight", N_("Body weight"), "29463-7", "Body weight", "kg", "kg", "0.2", 500),
        ("height", N_("Body height"), "8302-2", "Body height", "cm", "cm", 20, 260),
    )
)  # fmt: skip


def check_vitals(values: Values) -> dict[str, str]:
    """Finds what is no number, or none that a living person has."""
    errors: dict[str, str] = {}
    given = [each for each in VITAL_SIGNS if values.get(each.name)]
    for each in given:
        number = read_number(values[each.name])
        if number is None:
            errors[each.name] = N_("This is not a number.")
        elif not each.low <= number <= each.high:
            errors[each.name] = N_("This value is not possible.")
    names = {each.name for each in given}
    if len(names & {"systolic", "diastolic"}) == 1:
        missing = ({"systolic", "diastolic"} - names).pop()
        errors[missing] = N_("Enter both values of the blood pressure.")
    if not given:
        errors["systolic"] = N_("Enter at least one value.")
    return errors


def build_vitals(values: Values, context: Context) -> list[Resource]:
    """Makes the Observations: one a sign, the blood pressure as a panel."""
    found = []
    for each in VITAL_SIGNS:
        if not values.get(each.name) or each.name in ("systolic", "diastolic"):
            continue
        number = read_number(values[each.name])
        assert number is not None
        resource = _observation(each.code, each.display, context)
        resource["valueQuantity"] = _quantity(each, number)
        found.append(resource)
    if values.get("systolic"):
        panel = _observation("85354-9", "Blood pressure panel", context)
        panel["component"] = []
        for each in VITAL_SIGNS[:2]:
            number = read_number(values[each.name])
            assert number is not None
            code = {"coding": [{"system": LOINC, "code": each.code, "display": each.display}]}
            panel["component"].append({"code": code, "valueQuantity": _quantity(each, number)})
        found.append(panel)
    return found


def _quantity(sign: VitalSign, number: Decimal) -> Resource:
    value = int(number) if number == number.to_integral_value() else float(number)
    return {"value": value, "unit": sign.unit, "system": UCUM, "code": sign.ucum}


def _observation(code: str, display: str, context: Context) -> Resource:
    resource: Resource = {
        "resourceType": "Observation",
        "status": "final",
        "category": [coding(OBSERVATION_CATEGORY, "vital-signs")],
        "code": {
            "coding": [{"system": LOINC, "code": code, "display": display}],
            "text": display,
        },
        "effectiveDateTime": context.now.isoformat(timespec="seconds"),
        "performer": [{"display": context.author}],
    }
    base(resource, context)
    return resource


async def _vitals_page(request: Request, status: int = 200, **values: Any) -> Response:
    common: dict[str, Any] = {"errors": {}, "values": {}, "unavailable": None, "key": new_id()}
    banner = await load_banner(request)
    return page(
        request, "chart/vitals.html", status, **{**common, **banner, **values}, signs=VITAL_SIGNS
    )


async def show_vitals(request: Request) -> Response:
    """Shows the form of all vital signs."""
    return await _vitals_page(request)


async def create_vitals(request: Request) -> Response:
    """Records the vital signs that were entered, all of them or none."""
    form, person = request.state.form, person_of(request)
    shown = {"values": form, "key": form.get("key") or new_id()}
    errors = check_vitals(form)
    if errors:
        return await _vitals_page(request, 422, errors=errors, **shown)
    observations = build_vitals(form, await context_of(request))
    bundle = {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            {"resource": each, "request": {"method": "POST", "url": "Observation"}}
            for each in observations
        ],
    }
    try:
        await person.api.send("POST", FHIR, bundle, key=form.get("key", ""))
    except ApiError as error:
        if error.status in (401, 403):
            raise
        if error.is_unavailable:
            return await _vitals_page(request, error.status, unavailable=error, **shown)
        errors = {f"_{index}": text for index, text in enumerate(error.sentences)}
        return await _vitals_page(request, 422, errors=errors, **shown)
    return go_to(f"/patients/{request.path_params['id']}?notice=added")


def routes() -> list[BaseRoute]:
    """Gives the screen's routes."""
    return [
        ScreenRoute(
            "/patients/{id}/write/vitals",
            Operation("GET", show_vitals, CREATE),
            Operation("POST", create_vitals, CREATE),
        )
    ]
