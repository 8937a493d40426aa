"""What each recorded resource asks of AWS, call by call: those of its type, with its names and
tags.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from infrastructure.plan.paper import ACCOUNT, REGION
from infrastructure.recording import Recording, Resource
from tests.infrastructure.needed_calls import NEEDED, Needed

TAG = "patient-management:stack"
SUFFIX = "-1a2b3c4"
EVERYWHERE = {"budgets", "iam", "s3", "route53"}


@dataclass(frozen=True, slots=True)
class Call:
    action: str
    resource: str
    context: dict[str, Any] = field(default_factory=dict)


NEEDS: dict[str, list[Needed]] = {}
for each in NEEDED:
    NEEDS.setdefault(each.kind, []).append(each)


def calls(recording: Recording, resource: Resource) -> Iterator[Call]:
    """Raises KeyError for a type that nobody has described: no resource passes because nobody
    looked.
    """
    known = {"label": f"patient-{recording.stack.name}", **words(recording, resource)}
    for needed in NEEDS[resource.type.removeprefix("aws:")]:
        prefix, _, place = needed.service.rstrip(":").partition(">")
        for action in needed.actions.split():
            named = not action.endswith("!")
            where = (
                arn(
                    place or prefix,
                    needed.thing.format(**known),
                    regional=not needed.service.endswith(":"),
                )
                if named
                else "*"
            )
            yield Call(f"{prefix}:{action.rstrip('!')}", where, context(recording, resource, named))


def arn(service: str, rest: str, *, regional: bool = True) -> str:
    region = REGION if regional and service not in EVERYWHERE else ""
    return f"arn:aws:{service}:{region}:{'' if service in ('s3', 'route53') else ACCOUNT}:{rest}"


def words(recording: Recording, resource: Resource) -> dict[str, str]:
    inputs = {key: value for key, value in resource.inputs.items() if isinstance(value, str)}
    named = next(
        (inputs[key] for key in ("family", "identifier", "dashboardName") if key in inputs), None
    )
    if named is None and not resource.type.startswith("aws:rds/parameterGroup"):
        named = inputs.get("name")
    known = {**inputs, "name": named or resource.name + SUFFIX}
    if resource.type.startswith("aws:s3/"):
        bucket = inputs.get("bucket", "")
        known["bucket"] = (
            bucket if bucket.startswith("patient-management-") else resource.name + SUFFIX
        )
    if resource.type == "docker-build:index:Image":
        known["repository"] = (
            "repository/" + resource.inputs["tags"][0].partition("/")[2].partition(":")[0]
        )
    if resource.type.startswith("aws:iam/rolePolicy"):
        role = next(each for each in recording.of("aws:iam/role:Role") if each.id == inputs["role"])
        known |= {"path": role.inputs.get("path", "/"), "name": role.name + SUFFIX}
    return known


def context(recording: Recording, resource: Resource, named: bool) -> dict[str, Any]:
    own = recording.stack.name
    known: dict[str, Any] = {f"aws:RequestTag/{TAG}": own} | (
        {f"aws:ResourceTag/{TAG}": own} if named else {}
    )
    if resource.type.startswith("aws:iam/"):
        roles = {each.id: each for each in recording.of("aws:iam/role:Role")}
        role = roles.get(str(resource.inputs.get("role")), resource)
        known["iam:PermissionsBoundary"] = role.inputs.get("permissionsBoundary")
        known["iam:PassedToService"] = (
            str(role.inputs["assumeRolePolicy"]).partition('"Service": "')[2].partition('"')[0]
        )
    if resource.type == "aws:route53/record:Record":
        name = resource.inputs["name"].replace("*", "\\052")
        # On paper a proof's name is no whole one.
        whole = name if "." in name else f"{name}.{recording.outputs['platform']['domain']}"
        known["route53:ChangeResourceRecordSetsNormalizedRecordNames"] = [whole]
    return known
