"""The geometry of the catalogue's plots; templates draw them as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from model_servers.core.site.pages import VersionRow

WIDTH = 320
HEIGHT = 150
_LEFT, _TOP, _BOTTOM = 4, 14, 22
_MAX_COLUMNS = 24
"""More would be too thin to be told apart; the newest are shown."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """One version: how much its archive is, and how much of it moves."""

    label: str
    x: float
    width: float
    y: float
    height: float
    moved_y: float
    moved_height: float
    row: VersionRow
    shows_label: bool


@dataclass(frozen=True, kw_only=True)
class SizePlot:
    """Sizes over versions, the oldest at the left."""

    columns: tuple[Column, ...]
    base_y: float
    left_out: int
    """Older versions for which there is no room."""


def size_plot(newest_first: Sequence[VersionRow]) -> SizePlot:
    """Place a column for each version; the highest is as high as the plot."""
    shown = newest_first[:_MAX_COLUMNS][::-1]
    room = HEIGHT - _TOP - _BOTTOM
    largest = max((row.size_bytes for row in shown), default=1) or 1
    step = (WIDTH - 2 * _LEFT) / max(len(shown), 6)
    every = -(-len(shown) // 6)
    columns = []
    for i, row in enumerate(shown):
        height = room * row.size_bytes / largest
        moved = room * min(row.moved_bytes, row.size_bytes) / largest
        columns.append(
            Column(
                label=str(row.version),
                x=round(_LEFT + i * step + step * 0.15, 2),
                width=round(step * 0.7, 2),
                y=round(_TOP + room - height, 2),
                height=round(height, 2),
                moved_y=round(_TOP + room - moved, 2),
                moved_height=round(moved, 2),
                row=row,
                # the newest always has its label, the others where there is room
                shows_label=(len(shown) - 1 - i) % every == 0,
            )
        )
    return SizePlot(
        columns=tuple(columns),
        base_y=_TOP + room,
        left_out=len(newest_first) - len(shown),
    )
