"""Names: of the project and its stacks, and of what an app makes, so that previews and their base
do not collide.
"""

import re
from dataclasses import dataclass

from infrastructure.config import limits
from infrastructure.config.model import PreviewStack, Stack

PROJECT = "patient-management"
# On everything that a stack makes; a sweep finds by it what a stack that is no more has left.
STACK_TAG = f"{PROJECT}:stack"
ENVIRONMENTS = ("dev", "staging", "prod")
PREVIEW = re.compile(r"pr-([1-9][0-9]{0,4})\Z")
# A preview's listener rule has priority 1000 + N, and a listener's priorities end at 50000.
HIGHEST_PREVIEW = 48_999
# Roles lie under paths of their own, so that a rule can name an environment's, or all previews',
# and no other.
PREVIEW_PATH = "/preview/"
# The administrator of an RDS instance, whose password RDS itself makes and rotates.
MASTER = "master"
# Of the key under which previews' state is encrypted.
KEY_ALIAS = f"alias/{PROJECT}/previews"
# A firewall writes only into log groups whose names begin so.
LOG_PREFIX = "aws-waf-logs-"
ENVIRONMENT_PRIORITY = 100
PREVIEW_PRIORITY = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """`role`, `topic` and `log` turn a name of the catalogue into this app's own."""

    stack: str
    database_prefix: str
    topic_prefix: str
    secret_prefix: str
    priority: int

    def role(self, database: str) -> str:
        name = self.database_prefix + database
        limits.check_database_name(f"{name}_owner")
        return name

    def topic(self, topic: str) -> str:
        return self.topic_prefix + topic

    def log(self, service: str) -> str:
        return f"/patient-management/{self.stack}/{service}"


def names_of(stack: Stack) -> Names:
    if isinstance(stack, PreviewStack):
        return Names(
            stack=stack.name,
            database_prefix=stack.prefix,
            topic_prefix=f"{stack.name}.",
            secret_prefix=f"{PREVIEW_PATH.strip('/')}/{stack.name}/",
            priority=PREVIEW_PRIORITY + stack.number,
        )
    return Names(
        stack=stack.name,
        database_prefix="",
        topic_prefix="",
        secret_prefix=f"patient-management/{stack.name}/",
        priority=ENVIRONMENT_PRIORITY,
    )


def environment_path(environment: str) -> str:
    """Returns the path of the roles of an environment."""
    return f"/{PROJECT}/{environment}/"


def state_bucket(account_id: str, region: str) -> str:
    """Returns the name of the bucket that holds previews' state."""
    return f"{PROJECT}-previews-{account_id}-{region}"
