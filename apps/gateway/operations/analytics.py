"""`/analytics/v1`: figures, and the events that could not be read."""

from collections.abc import Mapping
from typing import Any

from apps.gateway.operations.model import (
    JSON,
    Answer,
    Content,
    PublicOperation,
    Schema,
    array,
    done,
    json,
    query,
    record,
    ref,
    text,
)
from apps.kit.web import scopes

TAG = "Analytics"
PATH = "/analytics/v1"
READ = scopes("analytics.read")
ADMIN = scopes("admin")

PERIOD = ("interval", "from", "to", "timezone")
CODE = (
    query("system", "The code system's URL; any without it.", text(maxLength=256)),
    query("code", "The code.", text(minLength=1, maxLength=256), required=True),
)
AMOUNTS = (
    "Amounts are integers in minor units of their currency and count on the day they belong to."
)
SMALL = "Codes of fewer patients than the smallest group are left out."
CELLS = "Small cells are hidden, and what would tell them."
DAY = "2026-03-01T00:00:00Z"
ASKED = {"interval": "month", "timezone": "UTC", "from": DAY, "to": None}
_INSTANT: Schema = {"type": ["string", "null"], "format": "date-time"}
_COUNT: Schema = {"type": "integer"}
_ANY: Schema = {"type": "object"}
_PERIOD = {"interval": text(), "timezone": text(), "from": _INSTANT, "to": _INSTANT}
_POINTS = record({**_PERIOD, "points": array(_ANY)})
MONEY = {
    "currency": "USD",
    "charged": 9000,
    "invoiced": 10000,
    "paid": 10000,
    "refunded": 1000,
    "outstanding": 0,
}
CELL = {"ageGroup": "60-69", "gender": "female", "patients": 12, "population": 40, "share": 0.3}


def _figure(path: str, id: str, summary: str, schema: Schema, **more: Any) -> PublicOperation:
    example = more.pop("example", None)
    schemas = {JSON: schema, "text/csv": text()}
    content = Content(schemas=schemas, example=example)
    parameters = more.get("parameters", ())
    return PublicOperation(
        method="GET",
        path=PATH + path,
        policy=READ,
        id=id,
        tag=TAG,
        summary=summary,
        answers={"200": Answer(text="Figures", content=content)},
        refusals=("400", "422") if parameters else ("400",),
        **more,
    )


def _top(path: str, id: str, summary: str) -> PublicOperation:
    name = path.strip("/").partition("/")[0]
    code = {"system": "http://snomed.info/sct", "code": "44054006", "patients": 57}
    return _figure(
        path,
        id,
        summary,
        record({"smallestGroup": _COUNT, name: array(_ANY)}),
        description=SMALL,
        parameters=("top", *PERIOD),
        example={"smallestGroup": 11, name: [code]},
    )


def _prevalence(path: str, id: str, summary: str, *first: Schema, **more: Any) -> PublicOperation:
    patients: Schema = {"type": ["integer", "null"]}
    known = {"type": text(), "system": text(), "code": text(), "smallestGroup": _COUNT}
    counted = {"patients": patients, "population": _COUNT, "suppressed": _COUNT}
    return _figure(
        path,
        id,
        summary,
        record({**known, **counted, "groups": array(_ANY)}),
        parameters=(*first, *CODE, *PERIOD),
        example={
            "type": "Immunization",
            "system": "",
            "code": "140",
            "smallestGroup": 11,
            "patients": 12,
            "population": 40,
            "suppressed": 0,
            "groups": [CELL],
        },
        **more,
    )


FIGURES = (
    _figure(
        "/registrations",
        "analyticsRegistrations",
        "Registrations over time",
        ref("Series"),
        description="Without parameters: by day, all.",
        parameters=PERIOD,
        example={**ASKED, "total": 3, "points": [{"start": DAY, "count": 3}]},
    ),
    _figure(
        "/patients",
        "analyticsPatients",
        "Patients that are not deleted",
        record({"patients": _COUNT}),
        description="The plain count.",
        example={"patients": 18},
    ),
    _figure(
        "/patients/active",
        "analyticsActivePatients",
        "Patients with an encounter in each interval",
        _POINTS,
        description="New ones, for whom it was the first encounter, and those who came before.",
        parameters=PERIOD,
    ),
    _figure(
        "/demographics",
        "analyticsDemographics",
        "Patients by gender, age and postal prefix",
        ref("Demographics"),
        description="Groups smaller than 11 are suppressed.",
    ),
    _figure(
        "/encounters",
        "analyticsEncounters",
        "Encounters over time",
        ref("Series"),
        description="And, for the whole period, by class and reason, with the length of stay.",
        parameters=PERIOD,
    ),
    _top("/conditions/top", "analyticsConditions", "The most frequent conditions"),
    _top("/medications/top", "analyticsTopMedications", "The medications that most patients have"),
    _top("/procedures/top", "analyticsTopProcedures", "The procedures that most patients have"),
    _top(
        "/immunizations/top",
        "analyticsTopImmunizations",
        "The immunizations that most patients have",
    ),
    _prevalence(
        "/immunizations/coverage",
        "analyticsImmunizationCoverage",
        "Patients with an immunization by age group and gender",
        description=CELLS,
    ),
    _prevalence(
        "/prevalence",
        "analyticsPrevalence",
        "Patients with a code by age group and gender",
        query(
            "type",
            "What the code is of.",
            text(enum=["Condition", "MedicationRequest", "Procedure", "Immunization"]),
        ),
        description=f"Beside all patients of the group. {CELLS}",
    ),
    _figure(
        "/billing",
        "analyticsBilling",
        "Charged, invoiced, paid, refunded and outstanding",
        record({**_PERIOD, "totals": array(_ANY), "points": array(_ANY)}),
        description=AMOUNTS,
        parameters=PERIOD,
        example={**ASKED, "totals": [MONEY], "points": [{"start": DAY, **MONEY}]},
    ),
    _figure(
        "/billing/revenue",
        "analyticsRevenue",
        "Revenue by group or payer",
        record({**_PERIOD, "by": text(), "points": array(_ANY)}),
        description=f"Invoices less credit notes. {AMOUNTS}",
        parameters=(
            query("by", "What revenue is grouped by.", text(enum=["group", "payer"])),
            *PERIOD,
        ),
    ),
    _figure(
        "/billing/payment-days",
        "analyticsPaymentDays",
        "Days from issue to full payment",
        _POINTS,
        description="Mean and median of the invoices that were fully paid in each interval.",
        parameters=PERIOD,
    ),
    _figure(
        "/billing/cancellations",
        "analyticsCancellations",
        "Share of invoices that were cancelled",
        _POINTS,
        description="By the interval in which they were issued.",
        parameters=PERIOD,
    ),
    _figure(
        "/aging",
        "analyticsAging",
        "Open invoices by days past their due date",
        record({"on": text(format="date"), "timezone": text(), "ages": array(_ANY)}),
        description=AMOUNTS,
        parameters=(
            query(
                "on",
                "The day at whose end they are counted; today without it.",
                text(format="date"),
            ),
            *PERIOD,
        ),
    ),
)
LIVE = (
    PublicOperation(
        method="GET",
        path=PATH + "/events",
        policy=READ,
        id="analyticsEvents",
        tag=TAG,
        summary="Hear that figures changed",
        description="Server-sent events: `changed` says that a figure may have changed."
        " The stream ends by itself; the browser connects again.",
        answers={
            "200": Answer(text="Events", content=Content(schemas={"text/event-stream": text()}))
        },
        refusals=("400",),
    ),
    PublicOperation(
        method="GET",
        path=PATH + "/lag",
        policy=READ,
        id="analyticsLag",
        tag=TAG,
        summary="How far behind the figures are",
        answers=done("The lag, in records", ref("Lag")),
        refusals=("400",),
    ),
)


def _letter(
    method: str, path: str, id: str, summary: str, answers: Mapping[str, Answer], **more: Any
) -> PublicOperation:
    return PublicOperation(
        method=method,
        path=f"{PATH}/dead-letters{path}",
        policy=ADMIN,
        id=id,
        tag=TAG,
        summary=summary,
        answers=answers,
        **more,
    )


SETTINGS = (
    PublicOperation(
        method="GET",
        path=PATH + "/settings",
        policy=ADMIN,
        id="analyticsSettings",
        tag=TAG,
        summary="The settings of the figures; of secrets only whether they are set",
        answers=done("The settings", ref("ShownSettings")),
    ),
)
DEAD_LETTERS = (
    _letter(
        "GET",
        "",
        "analyticsDeadLetters",
        "Events that could not be read",
        done("Dead letters", record({"deadLetters": array(ref("AnalyticsDeadLetter"))})),
        description="Those that nobody has settled.",
        refusals=("400",),
    ),
    _letter(
        "GET",
        "/{id}",
        "analyticsDeadLetter",
        "A dead letter with its record",
        done("The dead letter", ref("AnalyticsDeadLetter")),
        description="The record's value and headers in base64.",
        refusals=("400",),
    ),
    _letter(
        "POST",
        "/{id}/redrive",
        "analyticsRedriveDeadLetter",
        "Send a dead letter's event again",
        done("Sent", record({"redriven": _COUNT}), {"redriven": 1}),
        description="An event that was counted counts once.",
        refusals=("400", "409"),
    ),
    _letter(
        "POST",
        "/{id}/discard",
        "analyticsDiscardDeadLetter",
        "Discard a dead letter",
        done("Discarded", record({"discarded": _COUNT}), {"discarded": 1}),
        description="It leaves the list; the reason is kept.",
        body=json(
            record({"reason": text(minLength=1, maxLength=200)}),
            {"reason": "a test of the partner's"},
        ),
        refusals=("409", "415"),
    ),
)
OPERATIONS = (*FIGURES, *LIVE, *SETTINGS, *DEAD_LETTERS)
