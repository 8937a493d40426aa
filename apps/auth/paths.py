"""The paths of the service's pages and forms."""

AUTHORIZE = "/oauth2/authorize"
SIGN_IN = "/oauth2/sign-in"
SECOND_FACTOR = "/oauth2/second-factor"
ENROL = "/oauth2/enrol"
ACCOUNT = "/oauth2/account"
PASSWORD = "/oauth2/password"  # noqa: S105  # a path
RESET = "/oauth2/reset"
LOGOUT = "/oauth2/logout"
DEVICE = "/oauth2/device"
