"""Who stands behind the ids of an audit: names of accounts and applications, from
the auth service.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from apps.console.neighbours import fhir
from apps.console.neighbours.api import Api
from apps.console.neighbours.calls import ApiError

NAMES = "/auth/v1/names"
IDS_OF_A_CALL = 100


async def find_names(api: Api, ids: Iterable[str]) -> dict[str, str]:
    """Gives names by id; without those of deleted accounts, and without any where auth
    does not answer.
    """
    found: dict[str, str] = {}
    wanted = sorted({each for each in ids if each})
    try:
        for start in range(0, len(wanted), IDS_OF_A_CALL):
            some = wanted[start : start + IDS_OF_A_CALL]
            answer = await api.get(NAMES, [("id", each) for each in some])
            found |= {each["id"]: each["name"] for each in answer.body["items"] if each["name"]}
    except ApiError as error:
        if error.status == 401:
            raise
    return found


def agents_of(event: Mapping[str, Any]) -> tuple[str, str]:
    """Gives the ids of who caused an AuditEvent and of the application that they used."""
    ids = {
        bool(agent.get("requestor")): str(
            fhir.as_dict(fhir.as_dict(agent.get("who")).get("identifier")).get("value", "")
        )
        for agent in fhir.as_list(event.get("agent"))
    }
    return ids.get(True, ""), ids.get(False, "")
