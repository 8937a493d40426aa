"""A search parameter as a query names it."""

from dataclasses import dataclass

from apps.kit.errors import BadRequest
from apps.patient.definitions.model import SearchParameter
from apps.patient.search.index.hashing import type_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A parameter of a type as the query names it: `name` with its `modifier`, "" without one.

    `path` is the type, or where contained resources of it are: what the index has their values by.
    """

    path: str
    parameter: SearchParameter
    name: str
    modifier: str
    base_url: str

    @property
    def resource_type(self) -> str:
        return type_at(self.path)

    def refuse(self, message: str) -> BadRequest:
        return BadRequest("invalid_parameter", f"{self.name}: {message}", pointer=self.name)


def refuse_modifier(asked: Asked) -> None:
    if asked.modifier:
        raise asked.refuse(f"a {asked.parameter.kind} has no modifier :{asked.modifier}")
