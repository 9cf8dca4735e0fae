"""Draw SVG pictures: lines over a logarithmic axis, and bars. They have a background for light and for dark pages."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape

WIDTH, HEIGHT = 720, 400
_LEFT, _RIGHT, _TOP, _BOTTOM = 80, 560, 56, 336
_STYLE = """
  text { font: 13px sans-serif; fill: #24292f; stroke: #ffffff; stroke-width: 4; paint-order: stroke }
  .title { font-size: 16px; font-weight: bold }
  .back { fill: #ffffff } .grid { stroke: #d0d7de } .line { fill: none; stroke-width: 2.5 }
  .c0 { color: #0969da } .c1 { color: #bc4c00 } .c2 { color: #1a7f37 } .c3 { color: #8250df }
  .line, .dot { stroke: currentColor } .dot, .bar { fill: currentColor }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; stroke: #0d1117 } .back { fill: #0d1117 } .grid { stroke: #30363d }
    .c0 { color: #58a6ff } .c1 { color: #f0883e } .c2 { color: #3fb950 } .c3 { color: #bc8cff }
  }
"""


def lines(title: str, x_label: str, y_label: str, series: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """Draw a line for each series of points. The y axis begins at 0; the x axis is logarithmic."""
    xs = sorted({x for points in series.values() for x, _ in points})
    scale = Scale.for_values([y for points in series.values() for _, y in points])

    def across(x: float) -> float:
        return _LEFT + 30 + (_RIGHT - _LEFT - 60) * math.log(x / xs[0]) / (math.log(xs[-1] / xs[0]) or 1)

    def drawn() -> Iterator[str]:
        for x in xs:
            yield _text(across(x), _BOTTOM + 20, f"{x:,.0f}", "middle")
        for number, points in enumerate(series.values()):
            places = [(across(x), scale.up(y)) for x, y in points]
            way = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
            yield f'<polyline class="line c{number}" points="{way}"/>'
            yield from (f'<circle class="dot c{number}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in places)

    return _picture(title, x_label, y_label, scale, [*drawn(), *_legend(list(series))])


def bars(title: str, x_label: str, y_label: str, groups: Mapping[str, Mapping[str, float]]) -> str:
    """Draw a group of bars for each name, with a bar for each series and its value above it."""
    names = list(dict.fromkeys(name for group in groups.values() for name in group))
    scale = Scale.for_values([value for group in groups.values() for value in group.values()])
    step = (_RIGHT - _LEFT) / len(groups)
    width = step * 0.8 / len(names)

    def drawn() -> Iterator[str]:
        for place, (group, values) in enumerate(groups.items()):
            start = _LEFT + place * step + step * 0.1
            yield _text(start + step * 0.4, _BOTTOM + 20, group, "middle")
            for name, value in values.items():
                number, top = names.index(name), scale.up(value)
                x = start + number * width
                size = f'width="{width - 4:.1f}" height="{_BOTTOM - top:.1f}"'
                yield f'<rect class="bar c{number}" x="{x + 2:.1f}" y="{top:.1f}" {size}/>'
                yield _text(x + width / 2, top - 5, f"{value:,.0f}", "middle")

    return _picture(title, x_label, y_label, scale, [*drawn(), *_legend(names)])


class Scale:
    """The vertical axis, from 0 to a round number."""

    def __init__(self, step: float, steps: int) -> None:
        self.ticks = [step * number for number in range(steps + 1)]

    @classmethod
    def for_values(cls, values: Sequence[float]) -> Scale:
        """Return the shortest scale of at most six round steps that contains all values."""
        highest = max(values, default=0) or 1
        power = 10 ** math.floor(math.log10(highest / 6))
        step = next(power * factor for factor in (1, 2, 5, 10, 20) if power * factor * 6 >= highest)
        return cls(step, math.ceil(highest / step))

    def up(self, value: float) -> float:
        return _BOTTOM - (_BOTTOM - _TOP) * value / self.ticks[-1]


def _picture(title: str, x_label: str, y_label: str, scale: Scale, content: Sequence[str]) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-labelledby="title">'
    middle = (_TOP + _BOTTOM) / 2
    frame = [
        f'<title id="title">{escape(title)}</title><style>{_STYLE}</style>',
        f'<rect class="back" width="{WIDTH}" height="{HEIGHT}" rx="8"/>',
        f'<text class="title" x="24" y="32">{escape(title)}</text>',
        _text((_LEFT + _RIGHT) / 2, HEIGHT - 20, x_label, "middle"),
        f'<text text-anchor="middle" transform="translate(24 {middle}) rotate(-90)">{escape(y_label)}</text>',
        *_grid(scale),
    ]
    return "\n".join([head, *frame, *content, "</svg>", ""])


def _grid(scale: Scale) -> Iterator[str]:
    for tick in scale.ticks:
        y = scale.up(tick)
        yield f'<line class="grid" x1="{_LEFT}" x2="{_RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield _text(_LEFT - 8, y + 4, f"{tick:,.10g}", "end")


def _legend(names: Sequence[str]) -> Iterator[str]:
    for number, name in enumerate(names):
        y = _TOP + 12 + number * 24
        yield f'<rect class="bar c{number}" x="{_RIGHT + 16}" y="{y - 10}" width="12" height="12"/>'
        yield _text(_RIGHT + 36, y, name, "start")


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
