"""A chart of times as an SVG file: a dot a program, on a logarithmic scale.

It has a background of its own, light or dark as the reader's system is: so its colours are right
on whatever page it is shown.
"""

import math
from collections.abc import Iterator, Sequence
from xml.sax.saxutils import escape

from msgspec import Struct

WIDTH = 800
LEFT, RIGHT = 320, 720  # the scale's ends
_TOP, _ROW, _BOTTOM = 64, 26, 44

_STYLE = """
  text { font: 14px system-ui, "Segoe UI", "DejaVu Sans", sans-serif; fill: #1f2328; }
  .title { font-size: 16px; font-weight: 600; }
  .scale { font-size: 12px; fill: #59636e; }
  .number { font-variant-numeric: tabular-nums; paint-order: stroke; stroke: #ffffff;
            stroke-width: 4px; stroke-linejoin: round; }
  .ours { font-weight: 600; fill: #0550ae; }
  .page { fill: #ffffff; stroke: #d1d9e0; }
  line { stroke: #d1d9e0; }
  line.stem { stroke: #8c959f; stroke-width: 2; }
  line.stem.ours { stroke: #0969da; stroke-width: 4; }
  circle { fill: #59636e; }
  circle.ours { fill: #0969da; }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc; }
    .scale { fill: #9198a1; }
    .number { stroke: #0d1117; }
    .ours { fill: #79c0ff; }
    .page { fill: #0d1117; stroke: #3d444d; }
    line { stroke: #3d444d; }
    line.stem { stroke: #656c76; }
    line.stem.ours { stroke: #4493f8; }
    circle { fill: #9198a1; }
    circle.ours { fill: #4493f8; }
  }
"""


class Dot(Struct, frozen=True):
    """A program's time, in milliseconds; this project's are highlighted."""

    name: str
    value: float
    is_ours: bool = False


def svg(title: str, dots: Sequence[Dot]) -> str:
    """The chart, with the dots in the order given."""
    return "\n".join(_lines(title, dots)) + "\n"


def _lines(title: str, dots: Sequence[Dot]) -> Iterator[str]:
    bottom = _TOP + _ROW * len(dots)
    height = bottom + _BOTTOM
    described = "; ".join(f"{dot.name}: {_number(dot.value)}" for dot in dots)
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
        f'height="{height}" role="img" aria-labelledby="title desc">'
    )
    yield f'<title id="title">{escape(title)}</title>'
    yield f'<desc id="desc">Milliseconds, on a logarithmic scale. {escape(described)}.</desc>'
    yield f"<style>{_STYLE}</style>"
    yield f'<rect class="page" x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="6"/>'
    yield f'<text class="title" x="20" y="34">{escape(title)}</text>'
    yield (
        f'<text class="scale" x="{WIDTH - 20}" y="34" text-anchor="end">'
        "median of all runs, logarithmic scale</text>"
    )
    low, high = _decades([dot.value for dot in dots])
    for exponent in range(low, high + 1):
        x = _x(10.0**exponent, low, high)
        yield f'<line x1="{x}" y1="{_TOP - 8}" x2="{x}" y2="{bottom}"/>'
        label = f"{10.0**exponent:g} ms"
        yield f'<text class="scale" x="{x}" y="{bottom + 20}" text-anchor="middle">{label}</text>'
    for row, dot in enumerate(dots):
        yield from _dot_lines(dot, _TOP + _ROW * row + _ROW // 2, _x(dot.value, low, high))
    yield "</svg>"


def _dot_lines(dot: Dot, y: int, x: float) -> Iterator[str]:
    ours = " ours" if dot.is_ours else ""
    yield f'<line class="stem{ours}" x1="{LEFT}" y1="{y}" x2="{x}" y2="{y}"/>'
    yield f'<circle class="dot{ours}" cx="{x}" cy="{y}" r="5"/>'
    yield (
        f'<text class="name{ours}" x="{LEFT - 12}" y="{y + 5}" text-anchor="end">'
        f"{escape(dot.name)}</text>"
    )
    yield f'<text class="number{ours}" x="{x + 11}" y="{y + 5}">{_number(dot.value)}</text>'


def _decades(values: Sequence[float]) -> tuple[int, int]:
    """The powers of ten that the scale goes from and to."""
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return low, max(high, low + 1)


def _x(value: float, low: int, high: int) -> float:
    return round(LEFT + (math.log10(value) - low) / (high - low) * (RIGHT - LEFT), 1)


def _number(value: float) -> str:
    return f"{value:.2f} ms" if value < 10 else f"{value:.1f} ms"
