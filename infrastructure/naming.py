"""How an app's things are called, so that two previews and their base stand beside each other."""

from dataclasses import dataclass

from infrastructure import limits
from infrastructure.config import PreviewStack, Stack
from infrastructure.roles import PREVIEW_PATH

ENVIRONMENT_PRIORITY = 100
PREVIEW_PRIORITY = 1_000


@dataclass(frozen=True, slots=True)
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
            stack.name,
            stack.prefix,
            f"{stack.name}.",
            f"{PREVIEW_PATH.strip('/')}/{stack.name}/",
            PREVIEW_PRIORITY + stack.number,
        )
    return Names(stack.name, "", "", f"patient-management/{stack.name}/", ENVIRONMENT_PRIORITY)
