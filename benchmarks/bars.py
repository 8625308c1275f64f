"""A plot of bars in parts, as SVG. No I/O but the template's."""

from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

_LEFT, _WIDTH, _TOP, _STEP = 170, 860, 76, 30
_LEGEND_STEP, _LEGEND_IN_A_LINE = 130, 6
_COLORS = (
    *("#4e79a7", "#f28e2b", "#59a14f", "#e15759", "#76b7b2", "#edc948"),
    *("#b07aa1", "#ff9da7", "#9c755f", "#bab0ac"),
)
"""Tableau's ten, which people who confuse red and green can tell apart by their lightness."""

_TEMPLATE = Environment(
    loader=PackageLoader("benchmarks", ""), autoescape=True, undefined=StrictUndefined
).get_template("bars.svg.jinja")


def bars(title: str, values: Mapping[str, Mapping[str, float]], *, unit: str) -> str:
    """Draw a bar for each case, made of its parts."""
    names = list(dict.fromkeys(name for parts in values.values() for name in parts))
    colors = {name: _COLORS[n % len(_COLORS)] for n, name in enumerate(names)}
    longest = max((sum(parts.values()) for parts in values.values()), default=1) or 1
    scale = (_WIDTH - _LEFT - 90) / longest
    return _TEMPLATE.render(
        title=title,
        width=_WIDTH,
        height=_TOP + _STEP * len(values) + 10,
        left=_LEFT,
        legend=[
            (name, colors[name], 10 + _LEGEND_STEP * (n % _LEGEND_IN_A_LINE), 42 + 18 * (n // _LEGEND_IN_A_LINE))
            for n, name in enumerate(names)
        ],
        bars=[
            _bar(case, parts, colors, y=_TOP + _STEP * n, scale=scale, unit=unit)
            for n, (case, parts) in enumerate(values.items())
        ],
    )


def _bar(
    case: str, parts: Mapping[str, float], colors: Mapping[str, str], *, y: int, scale: float, unit: str
) -> dict[str, Any]:
    drawn, x = [], float(_LEFT)
    for name, value in parts.items():
        drawn.append((colors[name], x, value * scale, f"{name}: {value:.2f} {unit}"))
        x += value * scale
    return {"name": case, "y": y, "parts": drawn, "end": x, "total": f"{sum(parts.values()):.2f} {unit}"}
