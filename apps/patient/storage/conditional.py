"""Changes of the resource that meets search criteria
(https://hl7.org/fhir/R4/http.html#cond-update).
"""

from apps.kit.context import new_id
from apps.kit.errors import BadRequest, NotFound
from apps.patient.codec import Resource
from apps.patient.storage.access import Caller
from apps.patient.storage.outcomes import Outcome
from apps.patient.storage.preconditions import Condition, Expected, lock_condition, matches_of
from apps.patient.storage.record import Make, Record, Update
from apps.patient.storage.versions import Method, Version


async def update_match(
    record: Record,
    condition: Condition,
    make: Make | Resource,
    caller: Caller,
    expected: Expected,
    method: Method = "PUT",
) -> Outcome:
    """Changes the one match; a resource without a match is created, a patch without one is refused.

    The criteria are locked until the change is written, so that two writers make one resource.
    """
    resource_type = condition.resource_type
    async with record.database.transaction() as connection:
        await lock_condition(connection, condition)
        found = await matches_of(connection, condition, caller)
        given = None if callable(make) else make.get("id")
        if found is not None:
            id = found[0].id
            if given not in (None, id):
                raise BadRequest("id_differs", "the match has another id", pointer="/id")
        elif callable(make):
            raise NotFound("not_found", "nothing meets the criteria")
        else:
            caller.require(resource_type, "c")
            id = given or new_id()
        update = Update(
            resource_type=resource_type,
            id=id,
            make=make,
            caller=caller,
            expected=expected,
            method=method if found is not None else "PUT",
        )
        outcome = await record.update_in(connection, update)
    record.committed()
    return outcome


async def delete_matches(record: Record, condition: Condition, caller: Caller) -> list[Version]:
    """Deletes the one match, if there is one; raises PreconditionFailed where there are more."""
    async with record.database.transaction() as connection:
        await lock_condition(connection, condition)
        found = await matches_of(connection, condition, caller)
        if found is None:
            return []
        deleted = await record.delete_in(connection, condition.resource_type, found[0].id, caller)
    record.committed()
    return [deleted] if deleted else []
