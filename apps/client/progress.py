"""How far a load is: a bar on a terminal, elsewhere a line every few seconds."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

LINE_SECONDS = 5.0
# Called after each file, with the resources created so far.
Advance = Callable[[Path, int], None]


@dataclass(slots=True)
class Meter:
    """Counts files by their size, so that the time left does not jump with each large one."""

    sizes: dict[Path, int]
    clock: Callable[[], float] = time.monotonic
    started_at: float = field(init=False)
    done_files: int = 0
    done_bytes: int = 0
    resources: int = 0

    def __post_init__(self) -> None:
        self.started_at = self.clock()

    def advance(self, path: Path, resources: int) -> None:
        """Notes that `path` is done, and how many resources all files together have created."""
        self.done_files += 1
        self.done_bytes += self.sizes[path]
        self.resources = resources

    @property
    def per_second(self) -> float:
        elapsed_seconds = self.clock() - self.started_at
        return self.resources / elapsed_seconds if elapsed_seconds > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Returns the time that the rest takes at the rate so far; None before the first file."""
        if not self.done_bytes:
            return None
        elapsed_seconds = self.clock() - self.started_at
        left_bytes = sum(self.sizes.values()) - self.done_bytes
        return elapsed_seconds * left_bytes / self.done_bytes

    def describe(self) -> str:
        """Returns rate and time left, such as `1,203 resources/s, 1:05 left`."""
        left = self.seconds_left
        text = f"{self.per_second:,.0f} resources/s"
        if left is None:
            return text
        minutes, seconds = divmod(round(left), 60)
        return f"{text}, {minutes}:{seconds:02d} left"


def measure(paths: Sequence[Path]) -> Meter:
    """Returns a meter for these files; one that cannot be read counts as small."""
    return Meter({path: size_of(path) for path in paths})


def size_of(path: Path) -> int:
    try:
        return max(path.stat().st_size, 1)
    except OSError:
        return 1


@contextmanager
def show_progress(paths: Sequence[Path], screen: Console) -> Iterator[Advance]:
    """Shows how far the load of `paths` is; the block calls what it is given after each file."""
    meter = measure(paths)
    if screen.is_terminal:
        with bar(meter, len(paths), screen) as advance:
            yield advance
    else:
        yield lines(meter, len(paths), screen)


@contextmanager
def bar(meter: Meter, files: int, screen: Console) -> Iterator[Advance]:
    columns = (
        TextColumn("loading"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=screen) as progress:
        task = progress.add_task("", total=files)

        def advance(path: Path, resources: int) -> None:
            meter.advance(path, resources)
            progress.update(task, advance=1, description=meter.describe())

        yield advance


def lines(meter: Meter, files: int, screen: Console) -> Advance:
    """Returns what prints a line, at most one in LINE_SECONDS, and one at the end."""
    printed_at = meter.started_at

    def advance(path: Path, resources: int) -> None:
        nonlocal printed_at
        meter.advance(path, resources)
        if meter.clock() - printed_at >= LINE_SECONDS or meter.done_files == files:
            printed_at = meter.clock()
            screen.print(
                f"loaded {meter.done_files:,} of {files:,} files,"
                f" {resources:,} resources, {meter.describe()}",
                highlight=False,
                soft_wrap=True,
            )

    return advance
