"""Who pays a patient's bills beside the patient: coverages, in the order in which they pay."""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from apps.console.neighbours import fhir
from apps.console.neighbours.api import Api, load
from apps.console.neighbours.calls import ApiError
from apps.console.screens.chart import load_banner
from apps.console.screens.form_values import day, read_number
from apps.console.screens.money.account import (
    BASE,
    READ,
    WRITE,
    carry_out,
    invalid,
    not_an_amount,
    own_account,
    read_amount,
    refused,
)
from apps.console.web.people import Person, ScreenRoute, person_of
from apps.console.web.rendering import go_to, page
from apps.console.web.texts import Texts
from apps.kit.context import new_id
from apps.kit.errors import NotFound
from apps.kit.texts import N_
from apps.kit.web import Operation

PATH = f"{BASE}/coverages"
PERCENT, FIXED, COPAYMENT = (f"COVERAGE_SHARE_{name}" for name in ("PERCENT", "FIXED", "COPAYMENT"))
SHARES = {
    PERCENT: N_("A percentage of what is left"),
    FIXED: N_("A fixed amount"),
    COPAYMENT: N_("All but the patient's own part"),
}
# As many as an account may have.
MOST = 10
_FHIR_ID = re.compile(r"[A-Za-z0-9.-]{1,64}")


async def find_recorded(person: Person, patient_id: str) -> dict[str, dict[str, Any]]:
    """Gives the patient's Coverage resources by id, as far as the person may see them."""
    if not person.may("Coverage", "s"):
        return {}
    query = {"patient": patient_id, "_count": "100"}
    found = await load(person.api.search("Coverage", query))
    return {str(each.get("id")): each for each in fhir.entries(found.value)}


async def find_payers(person: Person) -> dict[str, str]:
    """Gives the names of organizations by id, as far as the person may see them."""
    if not person.may("Organization", "s"):
        return {}
    found = await load(person.api.search("Organization", {"_count": "100", "_sort": "name"}))
    return {str(each.get("id")): str(each.get("name", "")) for each in fhir.entries(found.value)}


def payer_name(coverage: Mapping[str, Any], recorded: Mapping[str, Any]) -> str:
    """Gives the payer's name: billing's, else the record's, else its id."""
    payors = fhir.as_list(fhir.as_dict(recorded.get(coverage["coverageId"])).get("payor"))
    display = next((str(each["display"]) for each in payors if each.get("display")), "")
    return str(coverage.get("payerName") or display or coverage["payerId"])


async def show(request: Request) -> Response:
    """Shows the coverages."""
    return await coverages_page(request)


async def coverages_page(request: Request, status: int = 200, **values: Any) -> Response:
    """Shows the coverages; `values`: what was typed, and what was wrong with it."""
    person = person_of(request)
    banner = await load_banner(request)
    account = await own_account(request)
    recorded = await find_recorded(person, request.path_params["id"])
    coverages = [
        {**each, "name": payer_name(each, recorded), "isRecorded": each["coverageId"] in recorded}
        for each in account["coverages"]
    ]
    known = {each["payerId"]: each["name"] for each in coverages}
    if person.has("billing.write"):
        known = await find_payers(person) | known
    common: dict[str, Any] = {"values": {}, "errors": {}, "unavailable": None, "key": new_id()}
    return page(
        request,
        "money/coverages.html",
        status,
        **{**common, **banner, **values},
        account=account,
        coverages=coverages,
        payers=known,
        shares=SHARES,
        today=person.texts.now().date(),
        is_full=len(coverages) >= MOST,
    )


def read_coverage(
    form: Mapping[str, str], currency: str, texts: Texts
) -> tuple[dict[str, Any], dict[str, str]]:
    """Reads a coverage; and the faults by field."""
    errors: dict[str, str] = {}
    payer_id, _, name = form.get("payer", "").partition(" · ")
    if not _FHIR_ID.fullmatch(payer_id):
        errors["payer"] = N_("Choose a payer of the list, or write its id in the record.")
    share = form.get("share", "")
    found: dict[str, Any] = {"payerId": payer_id, "payerName": name, "share": share}
    if share not in SHARES:
        errors["share"] = N_("Choose one of the list.")
    elif share == PERCENT:
        points = (read_number(form.get("percent", "")) or Decimal(0)) * 100
        is_percentage = points == points.to_integral_value() and 0 < points <= 10_000
        if not is_percentage or texts.may_be_grouped(form["percent"]):
            errors["percent"] = N_("This is not a percentage.")
        else:
            found["percentBasisPoints"] = int(points)
    else:
        amount = read_amount(form.get("amount", ""), currency, texts)
        if amount is None:
            errors["amount"] = not_an_amount(texts, currency)
        found["amount"] = amount
    for field, name in (("valid_from", "validFrom"), ("valid_to", "validTo")):
        if form.get(field):
            found[name] = read_day(form[field], texts)
            if not found[name]:
                errors[field] = N_("This is not a date.")
    if found.get("validTo") and found.get("validFrom", "") > found["validTo"]:
        errors["valid_to"] = N_("This is before the first day.")
    return found, errors


def read_day(text: str, texts: Texts) -> str:
    """Reads a whole day; empty where it is none."""
    found = day(text, texts)
    return found if len(found) == 10 else ""


async def add(request: Request) -> Response:
    """Adds a coverage, which pays after those that are there."""
    account = await own_account(request)
    coverage, errors = read_coverage(
        request.state.form, account["currency"], person_of(request).texts
    )
    if errors:
        return await invalid(request, errors, coverages_page)
    return await set_coverages(
        request, account, [*account["coverages"], coverage], "coverage-added"
    )


async def set_coverages(
    request: Request, account: Mapping[str, Any], coverages: list[dict[str, Any]], notice: str
) -> Response:
    """Replaces the account's coverages, unless they changed since the page was shown."""
    fields = {
        "accountId": account["accountId"],
        "coverages": coverages,
        "expectedVersion": account["version"],
    }
    if request.state.form.get("version") != account["version"]:
        return await refused(request, ApiError(412, "stale_version", "billing"), coverages_page)
    return await carry_out(
        request,
        "SetCoverage",
        f"/accounts/{account['accountId']}/coverages",
        fields,
        notice,
        back=f"/patients/{request.path_params['id']}/money/coverages",
        again=coverages_page,
        method="PUT",
    )


async def end(request: Request) -> Response:
    """Ends a coverage with a day; one of the record is ended there, and the account follows."""
    person, form = person_of(request), request.state.form
    account = await own_account(request)
    coverages, position = account["coverages"], request.path_params["position"]
    if position not in map(str, range(len(coverages))):
        raise NotFound("not_found")
    chosen = coverages[int(position)]
    name = f"end-{position}"
    last = read_day(form.get(name, ""), person.texts)
    if not last:
        return await invalid(request, {name: N_("This is not a date.")}, coverages_page)
    if last < chosen.get("validFrom", ""):
        return await invalid(request, {name: N_("This is before the first day.")}, coverages_page)
    if form.get("version") != account["version"]:
        return await refused(request, ApiError(412, "stale_version", "billing"), coverages_page)
    if chosen["coverageId"]:
        try:
            ended = await end_recorded(person.api, chosen["coverageId"], last)
        except ApiError as error:
            return await refused(request, error, coverages_page)
        if ended:
            back = f"/patients/{request.path_params['id']}/money/coverages"
            return go_to(f"{back}?notice=coverage-ended")
    chosen["validTo"] = last
    return await set_coverages(request, account, coverages, "saved")


async def end_recorded(api: Api, coverage_id: str, last: str) -> bool:
    """Ends a Coverage resource; tells whether there is one."""
    try:
        answer = await api.read("Coverage", coverage_id)
    except ApiError as error:
        if error.status in (404, 410):
            return False
        raise
    period = {**fhir.as_dict(answer.body.get("period")), "end": last}
    await api.update({**answer.body, "period": period}, answer.version)
    return True


def routes() -> list[BaseRoute]:
    """Gives the screen's routes."""
    return [
        ScreenRoute(PATH, Operation("GET", show, READ), Operation("POST", add, WRITE)),
        ScreenRoute(f"{PATH}/{{position}}/end", Operation("POST", end, WRITE)),
    ]
