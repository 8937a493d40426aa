import pytest

from apps.auth.people.sessions import IDLE_SECONDS, IdleTimes, describe_browser

TIMES = IdleTimes(default_seconds=1800, by_role={"clinician": 900, "analyst": 3600})


@pytest.mark.parametrize(
    ("roles", "seconds"),
    [
        ((), 1800),
        (("registrar",), 1800),
        (("clinician",), 900),
        (("analyst",), 3600),
        # Of several roles the shortest time counts, in either order.
        (("analyst", "clinician"), 900),
        (("clinician", "analyst"), 900),
        (("analyst", "registrar"), 1800),
    ],
)
def test_idle_time_is_that_of_the_strictest_role(roles: tuple[str, ...], seconds: int) -> None:
    assert TIMES.of(roles) == seconds
    assert IdleTimes().of(roles) == IDLE_SECONDS


@pytest.mark.parametrize(
    ("user_agent", "told"),
    [
        ("Mozilla/5.0 (Windows NT 10.0) Chrome/140.0 Safari/537.36 Edg/140.0", "Edge, Windows"),
        ("Mozilla/5.0 (X11; Linux x86_64) Chrome/140.0 Safari/537.36", "Chrome, Linux"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0) Version/18.0 Safari/604.1", "Safari, iPhone"),
        ("curl/8.0", ""),
    ],
)
def test_browser_is_told_as_a_person_knows_it(user_agent: str, told: str) -> None:
    assert describe_browser(user_agent) == told
