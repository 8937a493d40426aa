"""Who may what, written down by hand from the interface: operation by operation, not from the code
that it tests.
"""

from collections.abc import Mapping

ROLES = ("admin", "clinician", "registrar", "billing", "analyst", "patient")
# Beside people: a client in its own name with `system/*.cruds billing.* analytics.read`, and a
# service's own token.
PRINCIPALS = ("none", *ROLES, "client", "service")

Who = frozenset[str]
Operation = tuple[str, str]

ALL = frozenset({"everybody"})
NOBODY: Who = frozenset()
ADMIN: Who = frozenset({"admin"})
SERVICE: Who = frozenset({"service"})
ANALYTICS: Who = frozenset({"admin", "analyst", "client"})
BILLING: Who = frozenset({"admin", "billing", "client"})
PEOPLE: Who = frozenset(ROLES)
WHO_HAS_RECORDS: Who = frozenset(
    {"admin", "clinician", "registrar", "billing", "patient", "client"}
)
PEOPLE_AND_CLIENTS: Who = frozenset({*ROLES, "client"})

RECORDS: Mapping[str, Mapping[str, Who]] = {
    "Patient": {
        "c": frozenset({"admin", "clinician", "registrar", "client"}),
        "r": frozenset({"admin", "clinician", "registrar", "billing", "patient", "client"}),
        "u": frozenset({"admin", "clinician", "registrar", "client"}),
        "d": frozenset({"admin", "clinician", "client"}),
    },
    "Observation": {
        "c": frozenset({"admin", "clinician", "client"}),
        "r": frozenset({"admin", "clinician", "patient", "client"}),
        "u": frozenset({"admin", "clinician", "client"}),
        "d": frozenset({"admin", "clinician", "client"}),
    },
}


def _patient() -> dict[Operation, Who]:
    simple = RECORDS["Patient"]
    table: dict[Operation, Who] = {
        ("GET", "/api/patients"): simple["r"],
        ("POST", "/api/patients"): simple["c"],
        ("GET", "/api/patients/{id}"): simple["r"],
        ("PUT", "/api/patients/{id}"): simple["u"],
        ("DELETE", "/api/patients/{id}"): simple["d"],
        ("GET", "/api/outbox"): ADMIN,
        ("GET", "/api/settings"): ADMIN,
        ("POST", "/api/outbox/{id}/retry"): ADMIN,
        ("POST", "/api/outbox/{id}/discard"): ADMIN,
        ("GET", "/fhir/R4/metadata"): ALL,
        ("POST", "/fhir/R4"): WHO_HAS_RECORDS,
        ("GET", "/fhir/R4/Patient/{id}/$everything"): simple["r"],
    }
    for kind, may in RECORDS.items():
        base = f"/fhir/R4/{kind}"
        table |= {
            ("GET", base): may["r"],
            ("POST", base): may["c"],
            ("GET", f"{base}/_search"): may["r"],
            ("POST", f"{base}/_search"): may["r"],
            ("GET", f"{base}/{{id}}"): may["r"],
            ("PUT", f"{base}/{{id}}"): may["u"],
            ("DELETE", f"{base}/{{id}}"): may["d"],
            ("GET", f"{base}/{{id}}/_history"): may["r"],
            ("GET", f"{base}/{{id}}/_history/{{vid}}"): may["r"],
        }
    return table


def _patient_more() -> dict[Operation, Who]:
    """What the patient service answers besides. A body's or an operation's own rights are
    checked inside.
    """
    table: dict[Operation, Who] = {
        ("POST", "/fhir/R4/"): WHO_HAS_RECORDS,
        ("GET", "/fhir/R4"): WHO_HAS_RECORDS,
        ("GET", "/fhir/R4/"): WHO_HAS_RECORDS,
        ("GET", "/fhir/R4/_search"): WHO_HAS_RECORDS,
        ("POST", "/fhir/R4/_search"): WHO_HAS_RECORDS,
        ("GET", "/fhir/R4/_history"): WHO_HAS_RECORDS,
        ("GET", "/fhir/R4/Patient/{id}/$summary"): RECORDS["Patient"]["r"],
        ("POST", "/fhir/R4/Patient/{id}/$summary"): RECORDS["Patient"]["r"],
        ("POST", "/fhir/R4/Patient/{id}/$everything"): RECORDS["Patient"]["r"],
        ("POST", "/fhir/R4/Patient/$match"): RECORDS["Patient"]["r"],
        ("GET", "/fhir/R4/Observation/$lastn"): RECORDS["Observation"]["r"],
        ("POST", "/fhir/R4/Observation/$lastn"): RECORDS["Observation"]["r"],
        ("GET", "/fhir/R4/Patient/{id}/{compartment_type}"): RECORDS["Observation"]["r"],
        ("POST", "/fhir/R4/Patient/{id}/{compartment_type}/_search"): WHO_HAS_RECORDS,
        ("POST", "/fhir/R4/Patient/{id}/_search"): WHO_HAS_RECORDS,
    }
    for base in ("/fhir/R4", *(f"/fhir/R4/{kind}" for kind in RECORDS)):
        # An operation that there is not says so to whoever has a token.
        table |= {
            (method, f"{base}/${{operation}}"): PEOPLE_AND_CLIENTS for method in ("GET", "POST")
        }
    for kind, may in RECORDS.items():
        base = f"/fhir/R4/{kind}"
        for path in (base, f"{base}/"):
            table |= {
                ("GET", path): may["r"],
                ("POST", path): may["c"],
                ("PUT", path): may["u"],
                ("PATCH", path): may["u"],
                ("DELETE", path): may["d"],
            }
        table |= {
            ("PATCH", f"{base}/{{id}}"): may["u"],
            ("GET", f"{base}/_history"): may["r"],
            ("POST", f"{base}/$validate"): PEOPLE_AND_CLIENTS,
            ("POST", f"{base}/{{id}}/$validate"): PEOPLE_AND_CLIENTS,
            ("GET", f"{base}/{{id}}/${{operation}}"): PEOPLE_AND_CLIENTS,
            ("POST", f"{base}/{{id}}/${{operation}}"): PEOPLE_AND_CLIENTS,
        }
    return table


PATIENT = _patient()
PAGES: dict[Operation, Who] = {
    (method, f"/oauth2/{name}"): ALL
    for name in (
        "authorize",
        "logout",
        "sign-in",
        "second-factor",
        "enrol",
        "password",
        "reset",
        "confirm-password",
        "forgotten",
        "email",
        "email/confirm",
        "sessions",
        "consents",
        "passkeys",
        "recovery-codes",
        "device",
    )
    for method in ("GET", "POST")
}
AUTH: dict[Operation, Who] = {
    **PAGES,
    ("GET", "/oauth2/account"): ALL,
    ("POST", "/oauth2/language"): ALL,
    ("GET", "/oauth2/style.css"): ALL,
    ("GET", "/oauth2/account.js"): ALL,
    ("GET", "/oauth2/external"): ALL,
    ("GET", "/oauth2/external/callback"): ALL,
    **{
        ("POST", f"/oauth2/passkeys/{step}"): ALL
        for step in ("register/options", "register", "sign-in/options", "sign-in")
    },
    ("GET", "/.well-known/openid-configuration"): ALL,
    ("GET", "/.well-known/oauth-authorization-server"): ALL,
    ("GET", "/.well-known/smart-configuration"): ALL,
    ("GET", "/.well-known/jwks.json"): ALL,
    ("GET", "/fhir/R4/.well-known/smart-configuration"): ALL,
    ("POST", "/oauth2/token"): ALL,
    ("POST", "/oauth2/revoke"): ALL,
    ("POST", "/oauth2/introspect"): ALL,
    ("POST", "/oauth2/par"): ALL,
    ("POST", "/oauth2/device_authorization"): ALL,
    # The short login's tokens do not carry `openid`.
    ("GET", "/oauth2/userinfo"): NOBODY,
    ("POST", "/oauth2/userinfo"): NOBODY,
    ("POST", "/auth/login"): ALL,
    ("GET", "/auth/validate"): PEOPLE_AND_CLIENTS,
    ("GET", "/auth/v1/users"): ADMIN,
    ("POST", "/auth/v1/users"): ADMIN,
    ("GET", "/auth/v1/users/{id}"): ADMIN,
    ("PATCH", "/auth/v1/users/{id}"): ADMIN,
    ("POST", "/auth/v1/users/{id}/password-link"): ADMIN,
    ("DELETE", "/auth/v1/users/{id}/second-factor"): ADMIN,
    ("GET", "/auth/v1/clients"): ADMIN,
    ("POST", "/auth/v1/clients"): ADMIN,
    ("GET", "/auth/v1/clients/{id}"): ADMIN,
    ("PATCH", "/auth/v1/clients/{id}"): ADMIN,
    ("POST", "/auth/v1/clients/{id}/secret"): ADMIN,
    ("DELETE", "/auth/v1/clients/{id}"): ADMIN,
    ("DELETE", "/auth/v1/users/{id}"): ADMIN,
    ("POST", "/auth/v1/users/{id}/unlock"): ADMIN,
    ("GET", "/auth/v1/users/{id}/sessions"): ADMIN,
    ("DELETE", "/auth/v1/users/{id}/sessions"): ADMIN,
    ("GET", "/auth/v1/audit"): ADMIN,
    ("GET", "/auth/v1/settings"): ADMIN,
    ("GET", "/auth/v1/names"): PEOPLE,
    # The short login's tokens do not carry `account`.
    ("GET", "/auth/v1/me"): NOBODY,
    ("GET", "/auth/v1/me/sessions"): NOBODY,
    ("DELETE", "/auth/v1/me/sessions"): NOBODY,
    ("DELETE", "/auth/v1/me/sessions/{session}"): NOBODY,
    ("GET", "/auth/v1/me/consents"): NOBODY,
    ("DELETE", "/auth/v1/me/consents/{client}"): NOBODY,
    ("POST", "/auth/v1/launches"): frozenset({"admin", "clinician", "registrar", "billing"}),
}
ANALYTICS_TABLE: dict[Operation, Who] = {
    **{
        ("GET", f"/analytics/v1/{name}"): ANALYTICS
        for name in (
            "registrations",
            "patients",
            "patients/active",
            "demographics",
            "encounters",
            "conditions/top",
            "medications/top",
            "procedures/top",
            "immunizations/top",
            "immunizations/coverage",
            "prevalence",
            "billing",
            "billing/revenue",
            "billing/payment-days",
            "billing/cancellations",
            "aging",
            "events",
            "lag",
        )
    },
    ("GET", "/analytics/v1/settings"): ADMIN,
    ("GET", "/analytics/v1/dead-letters"): ADMIN,
    ("GET", "/analytics/v1/dead-letters/{id}"): ADMIN,
    ("POST", "/analytics/v1/dead-letters/{id}/redrive"): ADMIN,
    ("POST", "/analytics/v1/dead-letters/{id}/discard"): ADMIN,
}
HEALTH: dict[Operation, Who] = {("GET", "/livez"): ALL, ("GET", "/readyz"): ALL}

SERVICES: dict[str, dict[Operation, Who]] = {
    "auth": {
        **AUTH,
        **HEALTH,
        ("GET", "/oauth2/revocations"): SERVICE,
        ("GET", "/oauth2/origins"): SERVICE,
        # Inside, a service's token for auth is a valid one; outside it is for another audience.
        ("GET", "/auth/validate"): PEOPLE_AND_CLIENTS | SERVICE,
    },
    "patient": {**PATIENT, **_patient_more(), **HEALTH},
    "analytics": {**ANALYTICS_TABLE, **HEALTH},
    "gateway": {
        **PATIENT,
        **AUTH,
        **ANALYTICS_TABLE,
        **HEALTH,
        ("GET", "/openapi.json"): ALL,
        ("GET", "/docs"): ALL,
        ("GET", "/docs/{name}"): ALL,
        # The console's pages: it tells who may see which.
        ("GET", "/{path}"): ALL,
        ("POST", "/{path}"): ALL,
    },
}
# The operations under it: see `who_may_call`.
BILLING_PREFIX = "/billing/v1/"
# A patient reads their own account and what belongs to it.
BILLING_OF_A_PATIENT = frozenset(
    {
        "GetAccount",
        "GetAccountByPatient",
        "GetBalance",
        "GetDocument",
        "GetInvoice",
        "GetPayment",
        "GetStatement",
        "ListChargeItems",
        "ListInvoices",
        "ListPayments",
    }
)
# What a second person approves asks for billing.approve.
BILLING_APPROVALS = frozenset(
    {
        "ApproveWriteOff",
        "CloseCashDay",
        "CountCashDay",
        "GetCashDay",
        "ListWriteOffs",
        "OpenCashDay",
        "RefuseWriteOff",
        "WriteOffInvoice",
    }
)
# What operators do.
BILLING_OPERATIONS = frozenset(
    {
        "DiscardDeadLetter",
        "DiscardOutboxRow",
        "GetConsumerLag",
        "GetDeadLetter",
        "GetSettings",
        "ListDeadLetters",
        "ListOutbox",
        "RedriveDeadLetter",
        "RetryOutboxRow",
    }
)


def who_may_call(method: str) -> Who:
    """Who may call a method of billing through the gateway."""
    if method.startswith("Batch"):
        return NOBODY
    if method in BILLING_APPROVALS | BILLING_OPERATIONS:
        return ADMIN
    return BILLING | {"patient"} if method in BILLING_OF_A_PATIENT else BILLING
