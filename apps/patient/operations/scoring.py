"""How likely two descriptions are of one person: names, birth date, contacts, address,
identifiers. Pure.

Each part that both have gives points for a likeness and takes some for a difference. The weights
follow Fellegi and Sunter (1969): what few people share tells more than what many share.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from rapidfuzz.distance import DamerauLevenshtein, JaroWinkler

from apps.patient.codec import Resource
from apps.patient.search.index.normalisation import contact_codes, normalise_text

CERTAIN = 0.95
PROBABLE = 0.75
POSSIBLE = 0.5
LIKE_NAME = 0.88
# Short forms that are common in records in English and Spanish.
NICKNAMES = (
    "robert bob rob bobby roberto beto",
    "william bill will billy guillermo memo",
    "elizabeth liz beth betty elisabeth eliza",
    "katherine catherine kate kathy katy catalina",
    "margaret maggie peggy meg margarita",
    "richard rick dick ricky ricardo",
    "james jim jimmy jamie jaime",
    "john jack johnny juan",
    "joseph joe joey jose pepe",
    "michael mike mick miguel",
    "thomas tom tommy tomas",
    "charles charlie chuck carlos",
    "edward ed eddie ted eduardo lalo",
    "francis frank francisco paco pancho",
    "anthony tony antonio toño",
    "patricia pat patty trish paty",
    "susan sue susie susana",
    "deborah deb debbie debra",
    "daniel dan danny",
    "samuel sam sammy",
    "alexander alex sasha alejandro",
    "maria mary marie mari",
    "ann anne anna ana",
)
_SHORT_FORMS = {
    name: group for group, names in enumerate(NICKNAMES) for name in normalise_text(names).split()
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """What of a Patient is compared, normalised."""

    families: frozenset[str]
    givens: frozenset[str]
    birth_date: str
    gender: str
    phones: frozenset[str]
    emails: frozenset[str]
    postal_codes: frozenset[str]
    lines: frozenset[str]
    identifiers: frozenset[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Likeness:
    """`score` from 0 to 1. `reasons`: codes of what is alike."""

    score: float
    reasons: tuple[str, ...]

    @property
    def grade(self) -> str:
        """Returns FHIR's match-grade: certain, probable, possible or certainly-not."""
        if self.score >= CERTAIN:
            return "certain"
        if self.score >= PROBABLE:
            return "probable"
        return "possible" if self.score >= POSSIBLE else "certainly-not"


def person_of(resource: Resource) -> Person:
    """Returns what is compared of a Patient; what is missing or of another type is left out."""
    names = _objects(resource.get("name"))
    telecoms = _objects(resource.get("telecom"))
    addresses = _objects(resource.get("address"))

    def contacts(system: str) -> Iterable[str]:
        for telecom in telecoms:
            if telecom.get("system") == system:
                yield from contact_codes(str(telecom.get("value", "")))

    return Person(
        families=frozenset(
            word for name in names for word in _words(name.get("family")) or _last(name.get("text"))
        ),
        givens=frozenset(
            word
            for name in names
            for given in (name.get("given") or [str(name.get("text", "")).partition(" ")[0]])
            for word in _words(given)
        ),
        birth_date=str(resource.get("birthDate", "")),
        gender=str(resource.get("gender", "")),
        phones=frozenset(contacts("phone")),
        emails=frozenset(contacts("email")),
        postal_codes=frozenset(
            str(address["postalCode"]) for address in addresses if address.get("postalCode")
        ),
        lines=frozenset(
            normalise_text(str(line)) for address in addresses for line in address.get("line") or ()
        ),
        identifiers=frozenset(
            (str(each.get("system", "")), str(each["value"]))
            for each in _objects(resource.get("identifier"))
            if each.get("value")
        ),
    )


def compare(asked: Person, known: Person) -> Likeness:
    """Returns how alike two persons are.

    Name, birth date and one more part are certain together; a shared identifier with
    the name is too.
    """
    weights = [
        ("identifier", _shared(asked.identifiers, known.identifiers), 0.6, 0.0),
        ("family", _family(asked, known), 0.25, 0.25),
        ("given", _given(asked, known), 0.2, 0.25),
        ("birthDate", _birth_date(asked.birth_date, known.birth_date), 0.35, 0.3),
        ("gender", _same(asked.gender, known.gender), 0.05, 0.15),
        ("phone", _shared(asked.phones, known.phones), 0.2, 0.0),
        ("email", _shared(asked.emails, known.emails), 0.15, 0.0),
        ("postalCode", _shared(asked.postal_codes, known.postal_codes), 0.05, 0.05),
        ("address", _shared(asked.lines, known.lines), 0.1, 0.0),
    ]
    score = 0.0
    reasons: list[str] = []
    for name, likeness, gain, loss in weights:
        if likeness is None:
            continue
        score += gain * likeness if likeness > 0 else -loss
        if likeness > 0:
            reasons.append(name)
    return Likeness(score=round(max(0.0, min(1.0, score)), 3), reasons=tuple(reasons))


def _objects(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _words(value: Any) -> list[str]:
    return [word for word in re.split(r"[ '-]", normalise_text(value)) if word] if value else []


def _last(text: Any) -> list[str]:
    words = _words(text)
    return words[-1:]


def _shared(asked: frozenset[Any], known: frozenset[Any]) -> float | None:
    """Returns 1 for a common value, 0 for none, None where one of them has no value."""
    if not asked or not known:
        return None
    return 1.0 if asked & known else 0.0


def _same(asked: str, known: str) -> float | None:
    if not asked or not known or "unknown" in (asked, known):
        return None
    return float(asked == known)


def _alike(one: str, other: str) -> float:
    if one == other:
        return 1.0
    group = _SHORT_FORMS.get(one)
    if group is not None and group == _SHORT_FORMS.get(other):
        return 0.9
    if min(len(one), len(other)) > 3 and DamerauLevenshtein.distance(one, other) == 1:
        return 0.9
    likeness = JaroWinkler.similarity(one, other)
    return likeness if likeness >= LIKE_NAME else 0.0


def _best(asked: frozenset[str], known: frozenset[str]) -> float | None:
    if not asked or not known:
        return None
    return max(_alike(one, other) for one in asked for other in known)


def _family(asked: Person, known: Person) -> float | None:
    straight = _best(asked.families, known.families)
    return _or_swapped(straight, _best(asked.families, known.givens))


def _given(asked: Person, known: Person) -> float | None:
    straight = _best(asked.givens, known.givens)
    return _or_swapped(straight, _best(asked.givens, known.families))


def _or_swapped(straight: float | None, swapped: float | None) -> float | None:
    """Returns the likeness, a little less where given and family name stand in each
    other's place.
    """
    if straight is None or swapped is None or straight >= swapped * 0.8:
        return straight
    return swapped * 0.8


def _birth_date(asked: str, known: str) -> float | None:
    if not asked or not known:
        return None
    if asked == known:
        return 1.0
    if len(asked) < 10 or len(known) < 10:
        return 0.5 if asked.startswith(known) or known.startswith(asked) else 0.0
    # Day and month swapped, or one digit wrong or out of place.
    if asked[:4] == known[:4] and asked[5:7] == known[8:] and asked[8:] == known[5:7]:
        return 0.7
    return 0.6 if DamerauLevenshtein.distance(asked, known) == 1 else 0.0
