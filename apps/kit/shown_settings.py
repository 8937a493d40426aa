"""A service's own settings, for administrators to look at: of a secret only whether it is set."""

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from apps.catalogue import SERVICES, UNSET
from apps.kit.settings import Environment
from apps.kit.web import JSONResponse, Operation, PolicedRoute, scopes

ADMIN = scopes("admin")
COMMON = ("ENVIRONMENT", "PUBLIC_URL", "LOG_FORMAT")
# No secret, but a path on the machine tells an administrator nothing that they need.
PATHS = ("AUTH_MAIL_FOLDER",)


@dataclass(frozen=True, slots=True)
class ShownSetting:
    """`name`: the environment variable. `value`: as the service uses it; empty for a secret, and
    for a path, which is shown as one.
    """

    name: str
    value: str
    is_secret: bool
    is_set: bool


def shown_settings(service: str, env: Environment) -> tuple[ShownSetting, ...]:
    """Gives what the service has read; call it last.

    A value is shown only where the catalogue declares its variable as a setting: an address of a
    database, say, may carry a password. In one that is shown, a password is a fault.
    """
    entry = SERVICES[service]
    names = (*COMMON, *(name for name in entry.settings if name not in PATHS))
    plain = (ShownSetting(name, env.read_to_show(name), False, True) for name in names)
    hidden = (*entry.secrets, *(name for name in entry.settings if name in PATHS))
    secret = (ShownSetting(name, "", True, env.read(name) not in ("", UNSET)) for name in hidden)
    return (*plain, *secret)


async def show(request: Request) -> Response:
    """Answers the settings."""
    return JSONResponse(
        {
            "settings": [
                {
                    "name": each.name,
                    "value": each.value,
                    "isSecret": each.is_secret,
                    "isSet": each.is_set,
                }
                for each in request.state.settings.shown
            ]
        }
    )


def settings_routes(path: str) -> list[BaseRoute]:
    """Gives the route; it needs the scope `admin`."""
    return [PolicedRoute(path, Operation("GET", show, ADMIN))]
