"""Where previews keep their state, from the environment.

The default is what a base with previews makes for them.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from infrastructure.config.naming import KEY_ALIAS, state_bucket
from infrastructure.preview.names import RefusedError

# Fewer than dev's instance has connections for (infrastructure/config/connections.py: nine): each
# costs money, too.
AT_ONCE = 5
# How long a preview lives unless told otherwise.
DEFAULT_LIFETIME = timedelta(days=3)
# Whoever wants one for longer says so: with --keep, or by the pull request's label.
LONGEST_LIFETIME = timedelta(days=13)


@dataclass(frozen=True, slots=True)
class Settings:
    """`backend` and `secrets_provider` in Pulumi's words; `base_backend` holds the environments'
    own state.

    There are `at_once` previews at most.
    """

    region: str
    backend: str
    secrets_provider: str
    base_backend: str
    in_workflow: bool
    at_once: int

    @classmethod
    def from_environment(
        cls, environ: Mapping[str, str], account_id: Callable[[str], str]
    ) -> "Settings":
        """Reads the settings. `account_id` (in a region) is asked only where the default state
        bucket's name needs it.

        Raises Refusal.
        """
        region = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION")
        if not region:
            raise RefusedError("AWS_REGION is required")
        backend = (
            environ.get("PREVIEW_BACKEND_URL")
            or f"s3://{state_bucket(account_id(region), region)}?region={region}"
        )
        own = backend.startswith("s3://")
        provider = environ.get("PREVIEW_SECRETS_PROVIDER") or (
            f"awskms:///{KEY_ALIAS}?region={region}" if own else ""
        )
        return cls(
            region,
            backend,
            provider or "default",
            environ.get("PULUMI_BACKEND_URL") or backend,
            in_workflow=environ.get("CI") == "true",
            at_once=parse_at_once(environ.get("PREVIEWS_AT_ONCE") or str(AT_ONCE)),
        )


def parse_at_once(text: str) -> int:
    if not re.fullmatch(r"[1-9][0-9]{0,2}", text):
        raise RefusedError(f"PREVIEWS_AT_ONCE takes a number from 1 to 999, not {text!r}")
    return int(text)
