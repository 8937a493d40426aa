"""Where a secret lies in Secrets Manager, written as ECS does: the ARN of a secret, or
`<ARN>:<name>::` for one member of a secret whose value is a JSON object.

A preview keeps all of its secrets in one, for Secrets Manager bills by the secret
(docs/decisions/0112).
"""

import json
from collections.abc import Iterable
from typing import Any

from botocore.exceptions import ClientError


def split_place(place: str) -> tuple[str, str | None]:
    """Returns the secret's ARN and the member's name, or None if the whole value is meant."""
    if not place.endswith("::"):
        return place, None
    arn, _, name = place.removesuffix("::").rpartition(":")
    return arn, name


def place_of_member(arn: str, name: str) -> str:
    return f"{arn}:{name}::"


def arns_of(places: Iterable[str]) -> list[str]:
    """Returns the ARNs of the secrets, each once, in the order of the places."""
    return list(dict.fromkeys(split_place(place)[0] for place in places))


def read_place(client: Any, place: str) -> str | None:
    """Returns the secret's value, or None if the object has no such member.

    `client`: of Secrets Manager, whose errors this raises.
    """
    arn, name = split_place(place)
    value: str = client.get_secret_value(SecretId=arn)["SecretString"]
    return value if name is None else json.loads(value).get(name)


def read_filled_place(client: Any, place: str) -> str:
    """Returns the secret's value; raises what Secrets Manager does of a secret without one where
    the object has no such member.
    """
    value = read_place(client, place)
    if value is None:
        arn, name = split_place(place)
        reason = f"{arn} has no member {name}"
        raise ClientError(
            {"Error": {"Code": "ResourceNotFoundException", "Message": reason}}, "GetSecretValue"
        )
    return value
