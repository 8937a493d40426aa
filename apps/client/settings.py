"""Where the platform is and who calls it: from the environment, or from the platform that runs
on this machine.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
LOCAL_CLIENT = "local"


class PlatformError(Exception):
    """The platform cannot be used; the message says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSettings:
    """`url` without a slash at its end; the client's own credentials (OAuth 2.0
    client credentials).
    """

    url: str
    client_id: str
    client_secret: str = field(repr=False)


def local_folder(environ: Mapping[str, str]) -> Path:
    """Returns the folder of the platform on this machine; tests set another by PLATFORM_LOCAL."""
    return Path(environ.get("PLATFORM_LOCAL") or ROOT / ".local")


def read_settings(environ: Mapping[str, str]) -> ClientSettings:
    """Reads PLATFORM_URL, PLATFORM_CLIENT_ID and PLATFORM_CLIENT_SECRET, or the files
    of `scripts/up`.

    Raises PlatformError if neither names a platform.
    """
    url = environ.get("PLATFORM_URL", "").rstrip("/")
    client_id = environ.get("PLATFORM_CLIENT_ID", LOCAL_CLIENT)
    secret = environ.get("PLATFORM_CLIENT_SECRET")
    if not url or not secret:
        local = read_local_secrets(local_folder(environ) / "data" / "secrets.json")
        local_url = local.get("PLATFORM_URL", "")
        url = url or local_url
        # The local secret is sent to the local platform alone.
        if not secret and url == local_url and client_id == LOCAL_CLIENT:
            secret = local.get("PLATFORM_CLIENT_SECRET")
    if not url or not secret:
        raise PlatformError(
            "no platform to talk to: start one with scripts/up, or set PLATFORM_URL,"
            " PLATFORM_CLIENT_ID and PLATFORM_CLIENT_SECRET"
        )
    return ClientSettings(url=url, client_id=client_id, client_secret=secret)


def read_local_secrets(path: Path) -> dict[str, str]:
    """Returns the values in the file that `scripts/up` writes; none if there is no such file."""
    try:
        values: dict[str, str] = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return values
