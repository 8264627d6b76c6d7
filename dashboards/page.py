"""A whole dashboard: rows of panels, variables, annotations and links, as the JSON that Grafana imports."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.builders import prometheus
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import DashboardCursorSync, DashboardLinkType, VariableModel

from dashboards.panels import DATASOURCE, RED, PanelBuilder, Query

TAG = "leewayd"


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under one heading, laid out from left to right; 24 columns fill the page's width."""

    title: str
    panels: Sequence[PanelBuilder]


@dataclass(frozen=True, slots=True)
class Page:
    """A dashboard.

    Attributes:
        uid: identifies the dashboard across imports; also the file name.
        marks: moments to mark in every panel, distinguished by their label ``rule``.
    """

    uid: str
    title: str
    description: str
    variables: Sequence[Builder[VariableModel]]
    rows: Sequence[Row]
    marks: Query | None = None


def render(page: Page) -> str:
    """The dashboard as reproducible JSON text, ending with a newline."""
    board = (
        builders.Dashboard(page.title)
        .uid(page.uid)
        .description(page.description)
        .tags([TAG])
        .timezone("browser")
        .refresh("1m")
        .time("now-24h", "now")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .editable()
        .variables(list(page.variables))
        .link(
            builders.DashboardLink("leewayd")
            .type(DashboardLinkType.DASHBOARDS)
            .tags([TAG])
            .as_dropdown(True)
            .keep_time(True)
            .include_vars(True)
        )
    )
    if page.marks is not None:
        board = board.annotation(
            builders.AnnotationQuery()
            .name(page.marks.legend)
            .datasource(DATASOURCE)
            .enable(True)
            .hide(False)
            .icon_color(RED)
            .expr(page.marks.expr)
            .title_format("{{rule}}")
            .target(prometheus.Dataquery().expr(page.marks.expr).ref_id("Anno").datasource(DATASOURCE).range())
        )
    # Without explicit ids, Grafana numbers panels at import, and links to a panel break.
    identity = 0
    for row in page.rows:
        identity += 1
        board = board.with_row(builders.Row(row.title).id(identity))
        for panel in row.panels:
            identity += 1
            board = board.with_panel(panel.id(identity))
    return json.dumps(board.build(), cls=JSONEncoder, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
