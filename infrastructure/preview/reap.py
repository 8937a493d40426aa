"""Finds previews whose time is over and takes them down.

A failure of one does not stop the others.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from infrastructure.config.naming import PROJECT
from infrastructure.preview.driver import Driver
from infrastructure.preview.errors import PreviewError
from infrastructure.preview.names import Preview, preview_of_stack
from infrastructure.preview.pulls import FindPull, Pull
from infrastructure.preview.settings import DEFAULT_LIFETIME
from infrastructure.preview.stacks import StackSummary


@dataclass(frozen=True, slots=True)
class Lifetime:
    """What a stack's settings say about its preview; None if no update of it ever ended."""

    base: str | None
    expires: datetime | None
    keep: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    preview: Preview
    over: bool
    reason: str


@dataclass(frozen=True, slots=True)
class ReapResult:
    """`unseen`: the places that could not be searched for leftovers."""

    verdicts: tuple[Verdict, ...]
    failures: tuple[str, ...]
    unseen: tuple[str, ...]

    @property
    def failed(self) -> bool:
        return bool(self.failures or self.unseen)


def parse_life(config: Mapping[str, str]) -> Lifetime:
    expires = config.get(f"{PROJECT}:expires")
    try:
        time = datetime.fromisoformat(expires) if expires else None
    except ValueError:
        time = None
    if time and time.tzinfo is None:
        time = time.replace(tzinfo=UTC)
    return Lifetime(config.get(f"{PROJECT}:base"), time, config.get(f"{PROJECT}:keep") == "true")


def judge(
    preview: Preview, listed: StackSummary, life: Lifetime, pull: Pull | PreviewError, now: datetime
) -> Verdict:
    """Decides whether a preview is over.

    `pull` is an error if GitHub did not answer; then only its time decides.

    A preview whose first update never ended lives as long as the default.
    """
    if life.keep or (isinstance(pull, Pull) and pull.keep):
        return Verdict(preview, over=False, reason="labelled to keep")
    if isinstance(pull, Pull) and not pull.open:
        return Verdict(preview, over=True, reason="its pull request is closed")
    expires = life.expires or (listed.updated + DEFAULT_LIFETIME if listed.updated else None)
    if expires and expires <= now:
        return Verdict(
            preview, over=True, reason=f"its time was over at {expires:%Y-%m-%d %H:%M} UTC"
        )
    until = f"until {expires:%Y-%m-%d %H:%M} UTC" if expires else "until its pull request closes"
    return Verdict(preview, over=False, reason=until)


def reap(
    driver: Driver, find_pull: FindPull, *, dry_run: bool, only: Preview | None = None
) -> ReapResult:
    """Takes down each preview that is over, of all or `only` this one, and returns what it found
    and what failed.
    """
    # List AWS resources before stacks. In the other order a preview created in between would look
    # orphaned and be deleted.
    found = driver.leftovers.find()
    stacks = {
        preview: listed
        for listed in driver.stacks.listed()
        if (preview := preview_of_stack(listed.name))
    }
    verdicts: list[Verdict] = []
    failures: list[str] = []
    for preview, listed in sorted(each for each in stacks.items() if only in (None, each[0])):
        try:
            life = parse_life(driver.stacks.config(listed.name))
            if life.base not in (None, driver.base):
                # Another environment was the base once: nobody else would take this preview down.
                failures.append(
                    f"{preview.stack} is on {life.base}, which takes no previews any more: take it "
                    f"down there"
                )
            else:
                pull = asked(find_pull, preview)
                if isinstance(pull, PreviewError):
                    failures.append(f"{preview.stack}: {pull}")
                verdicts.append(judge(preview, listed, life, pull, driver.now()))
        except PreviewError as fault:
            failures.append(f"{preview.stack}: {fault}")
    orphans = sorted(
        {leftover.preview for leftover in found.leftovers if only in (None, leftover.preview)}
        - set(stacks)
    )
    verdicts += [Verdict(preview, over=True, reason="it has no stack") for preview in orphans]
    for verdict in verdicts:
        driver.say(
            f"{verdict.preview.stack}: {'goes' if verdict.over else 'stays'}: {verdict.reason}"
        )
        if verdict.over and not dry_run:
            try:
                driver.down(verdict.preview)
            except PreviewError as fault:
                driver.say(str(fault))
                failures.append(f"{verdict.preview.stack}: {fault}")
    return ReapResult(tuple(verdicts), tuple(failures), found.unseen)


def asked(find_pull: FindPull, preview: Preview) -> Pull | PreviewError:
    try:
        return find_pull(preview)
    except PreviewError as fault:
        return fault
