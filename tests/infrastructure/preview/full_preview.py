"""All that moto holds, of whatever service, whether or not anybody thought of it."""

from collections.abc import Iterator, Mapping
from typing import Any

from moto.core.base_backend import BackendDict, BaseBackend

from infrastructure.plan.paper import ACCOUNT

# What moto remembers of things that are gone. AWS too lists definitions that are out of use, and
# what was once done; `census.count` says which services and definitions are still there.
REMEMBERED = (
    "ecs us-east-1.services/",
    "ecs us-east-1.task_definitions/",
    "servicediscovery us-east-1.operations/",
    *(
        f"{service} us-east-1.tagger.tags/"
        for service in ("cloudwatch", "logs", "servicediscovery")
    ),
    "ec2 us-east-1.tags/",
    "elbv2 us-east-1.tagging_service.tags/",
)
PLAIN = (str, bytes, int, float, bool, type(None))
DEEPEST = 7


def everything(account: str = ACCOUNT) -> set[str]:
    """A line for each thing that is held for an account: the way to it, by names and keys."""
    return {
        line
        for service in BackendDict._instances  # type: ignore[misc]
        for owner, region, backend in service.iter_backends()
        if owner == account
        for line in walk(backend, f"{service.service_name} {region}", ())
        if not line.startswith(REMEMBERED)
    }


def walk(value: Any, path: str, above: tuple[int, ...]) -> Iterator[str]:
    if isinstance(value, PLAIN) or id(value) in above or len(above) > DEEPEST:
        return
    inside = (*above, id(value))
    if isinstance(value, Mapping):
        for key, each in list(value.items()):
            yield f"{path}/{key}"
            yield from walk(each, f"{path}/{key}", inside)
    elif isinstance(value, list | tuple | set):
        yield f"{path} has {len(value)}"
        for each in value:
            if isinstance(each, PLAIN):
                yield f"{path} has {each!r}"
            else:
                yield from walk(each, path, inside)
    elif type(value).__module__.startswith("moto.") and not (
        above and isinstance(value, BaseBackend)
    ):
        for name, each in vars(value).items():
            yield from walk(each, f"{path}.{name}", inside)
