"""Plots as SVG drawn on the server: a line over time with its reference range, and
bars by interval.
"""

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 640, 220
LEFT, RIGHT, TOP, BOTTOM = 76, 12, 12, 30
TICKS = 4


@dataclass(frozen=True, slots=True)
class Mark:
    """A text at a place of the plot."""

    x: float
    y: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """What the template draws. `band`: y and height of the reference range."""

    line: str
    dots: list[tuple[float, float]]
    bars: list[tuple[float, float, float, float]]
    before: str
    band: tuple[float, float] | None
    values: list[Mark]
    times: list[Mark]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    bottom: int = HEIGHT - BOTTOM


def nice_ticks(low: float, high: float) -> list[float]:
    """Gives round numbers that cover low to high."""
    if high <= low:
        high = low + 1
    raw = (high - low) / TICKS
    power = 10.0 ** len(str(int(raw))) / 10 if raw >= 1 else 1.0
    while raw < power:
        power /= 10
    step = next(power * each for each in (1, 2, 2.5, 5, 10) if power * each >= raw)
    first = int(low / step - (low < 0 and low % step != 0)) * step
    ticks = [first]
    while ticks[-1] < high:
        ticks.append(ticks[-1] + step)
    return ticks


def _written(value: float) -> str:
    return f"{value:.6g}"


def plot_line(
    points: Sequence[tuple[float, float, str]], band: tuple[float | None, float | None]
) -> Plot | None:
    """Plots (time, value, text of the time); None for fewer than two points."""
    if len(points) < 2:
        return None
    shown = [value for _, value, _ in points] + [each for each in band if each is not None]
    ticks = nice_ticks(min(shown), max(shown))
    first, last = points[0][0], points[-1][0]
    span = last - first or 1.0

    def x(moment: float) -> float:
        return round(LEFT + (moment - first) / span * (WIDTH - LEFT - RIGHT), 1)

    def y(value: float) -> float:
        share = (value - ticks[0]) / (ticks[-1] - ticks[0])
        return round(HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM), 1)

    dots = [(x(moment), y(value)) for moment, value, _ in points]
    low = band[0] if band[0] is not None else ticks[0]
    high = band[1] if band[1] is not None else ticks[-1]
    return Plot(
        line=" ".join(f"{a},{b}" for a, b in dots),
        dots=dots,
        bars=[],
        before="",
        band=None if band == (None, None) else (y(high), round(y(low) - y(high), 1)),
        values=[Mark(LEFT - 6, y(each) + 4, _written(each)) for each in ticks],
        times=[
            Mark(LEFT, HEIGHT - 8, points[0][2]),
            Mark(WIDTH - RIGHT, HEIGHT - 8, points[-1][2]),
        ],
    )


def plot_bars(points: Sequence[tuple[str, float]], before: Sequence[float] = ()) -> Plot | None:
    """Plots (text, value) as bars, and the period before as a dashed line; None for no points."""
    if not points:
        return None
    ticks = nice_ticks(0.0, max([value for _, value in points] + list(before) + [1.0]))
    room = (WIDTH - LEFT - RIGHT) / len(points)

    def y(value: float) -> float:
        return round(HEIGHT - BOTTOM - value / ticks[-1] * (HEIGHT - TOP - BOTTOM), 1)

    bars = [
        (
            round(LEFT + index * room + room * 0.12, 1),
            y(value),
            round(room * 0.76, 1),
            round(HEIGHT - BOTTOM - y(value), 1),
        )
        for index, (_, value) in enumerate(points)
    ]
    line = [
        f"{round(LEFT + (index + 0.5) * room, 1)},{y(value)}"
        for index, value in enumerate(before[: len(points)])
    ]
    return Plot(
        line="",
        dots=[],
        bars=bars,
        before=" ".join(line) if len(line) > 1 else "",
        band=None,
        values=[Mark(LEFT - 6, y(each) + 4, _written(each)) for each in ticks],
        times=[
            Mark(LEFT, HEIGHT - 8, points[0][0]),
            Mark(WIDTH - RIGHT, HEIGHT - 8, points[-1][0] if len(points) > 1 else ""),
        ],
    )
