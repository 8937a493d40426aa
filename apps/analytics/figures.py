"""The rules of the figures: what a batch of events changes, and which groups are too small to be shown."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from apps.analytics.events import ClinicalEvent, Event, PatientEvent

# What statistics are made of; other facts are only counted as read.
FACT_TYPES = frozenset({"Condition", "Encounter"})


@dataclass(frozen=True, slots=True)
class Changes:
    """`registrations`: how many a full hour, by hour. `patients`, `facts`: the newest event of each, by id."""

    registrations: Sequence[tuple[datetime, int]]
    patients: Sequence[PatientEvent]
    facts: Sequence[ClinicalEvent]


def changes_of(events: Iterable[Event]) -> Changes:
    """What events, each given once, change; sorted, so that transactions at once take their locks in one order."""
    registrations: Counter[datetime] = Counter()
    patients: dict[str, PatientEvent] = {}
    facts: dict[tuple[str, str], ClinicalEvent] = {}
    for event in events:
        if isinstance(event, PatientEvent):
            if event.event_type == "patient.created":
                registrations[event.occurred_at.replace(minute=0, second=0, microsecond=0)] += 1
            known = patients.get(event.patient_id)
            if known is None or known.version_id < event.version_id:
                patients[event.patient_id] = event
        elif event.resource_type in FACT_TYPES:
            key = (event.resource_type, event.resource_id)
            earlier = facts.get(key)
            if earlier is None or earlier.version_id < event.version_id:
                facts[key] = event
    return Changes(
        sorted(registrations.items()),
        [patients[key] for key in sorted(patients)],
        [facts[key] for key in sorted(facts)],
    )


@dataclass(frozen=True, slots=True)
class Group:
    name: str
    count: int


@dataclass(frozen=True, slots=True)
class Breakdown:
    """`groups`: the largest first. `suppressed`: how many groups are not shown."""

    groups: tuple[Group, ...]
    suppressed: int


def break_down(groups: Iterable[Group], smallest: int) -> Breakdown:
    """Hides every group under `smallest`, and as many of the next as it takes to keep those from being worked out.

    A reader who knows the total could otherwise subtract the groups that are shown and have the one that is not.
    """
    ordered = sorted(groups, key=lambda group: (group.count, group.name))
    hidden = sum(group.count < smallest for group in ordered)
    if hidden:
        while hidden < len(ordered) and (
            hidden == 1 or sum(group.count for group in ordered[:hidden]) < smallest
        ):
            hidden += 1
    shown = sorted(ordered[hidden:], key=lambda group: (-group.count, group.name))
    return Breakdown(tuple(shown), hidden)
