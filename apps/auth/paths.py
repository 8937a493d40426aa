"""The paths of the service's pages and forms."""

AUTHORIZE = "/oauth2/authorize"
SIGN_IN = "/oauth2/sign-in"
SECOND_FACTOR = "/oauth2/second-factor"
ENROL = "/oauth2/enrol"
ACCOUNT = "/oauth2/account"
PASSWORD = "/oauth2/password"  # noqa: S105  # a path
RESET = "/oauth2/reset"
LOGOUT = "/oauth2/logout"
<<<<<<< HEAD
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
=======
DEVICE = "/oauth2/device"
>>>>>>> main
