"""How an app's things are called, so that two previews and their base stand beside each other."""

from dataclasses import dataclass

from infrastructure import limits
from infrastructure.config import PreviewStack, Stack
from infrastructure.roles import PREVIEW_PATH

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
