import pytest

from apps.auth.cleanup import EXPIRED
from tests.auth.conftest import Auth

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("table", EXPIRED)
def test_what_is_still_good_is_kept_and_what_is_long_over_is_not(auth: Auth, table: str) -> None:
    # Table and condition are the code's own.
    row = (
        "SELECT count(*) FROM (SELECT now() + make_interval(secs => $1) AS expires_at, "  # noqa: S608
        f"now() + make_interval(secs => $1) AS locked_until) AS {table} WHERE {EXPIRED[table]}"
    )
    assert auth.sql(row, 1.0)[0]["count"] == 0
    assert auth.sql(row, -2 * 24 * 60 * 60.0)[0]["count"] == 1


@pytest.mark.parametrize(
    ("table", "seconds"),
    [
        # A replay is still known as one.
        ("authorization_codes", 59 * 60),
        ("device_codes", 59 * 60),
        ("refresh_tokens", 23 * 60 * 60),
    ],
)
def test_what_was_used_is_known_for_a_while(auth: Auth, table: str, seconds: int) -> None:
    row = (
        "SELECT count(*) FROM (SELECT now() - make_interval(secs => $1) AS expires_at) AS old "  # noqa: S608
        f"WHERE {EXPIRED[table]}"
    )
    assert auth.sql(row, float(seconds))[0]["count"] == 0
