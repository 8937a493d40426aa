"""The paths of the service's pages and forms, and the requests that these carry."""

from urllib.parse import parse_qsl

MAX_PARAMETERS = 50

AUTHORIZE = "/oauth2/authorize"
SIGN_IN = "/oauth2/sign-in"
SECOND_FACTOR = "/oauth2/second-factor"
ENROL = "/oauth2/enrol"
ACCOUNT = "/oauth2/account"
PASSWORD = "/oauth2/password"  # noqa: S105  # a path
RESET = "/oauth2/reset"
LOGOUT = "/oauth2/logout"
FORGOTTEN = "/oauth2/forgotten"
EMAIL = "/oauth2/email"
CONFIRM_EMAIL = "/oauth2/email/confirm"
SESSIONS = "/oauth2/sessions"
CONSENTS = "/oauth2/consents"
PASSKEYS = "/oauth2/passkeys"
RECOVERY_CODES = "/oauth2/recovery-codes"
EXTERNAL = "/oauth2/external"
EXTERNAL_CALLBACK = "/oauth2/external/callback"
CONFIRM_PASSWORD = "/oauth2/confirm-password"  # noqa: S105  # a path
DEVICE = "/oauth2/device"
LANGUAGE = "/oauth2/language"


def pairs_of(query: str) -> list[tuple[str, str]]:
    """Returns the parameters of a request that a form of ours carries; none if there are
    more than any has.
    """
    try:
        return parse_qsl(query, keep_blank_values=True, max_num_fields=MAX_PARAMETERS)
    except ValueError:
        return []
