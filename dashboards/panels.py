"""The kinds of panels and variables in dashboards. Only this module and `page` use Grafana's SDK.

Every panel has a description of its meaning and of the next action; every query uses the data source that the reader
chooses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import dashboard as dashboard_builders
from grafana_foundation_sdk.builders import prometheus, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

if TYPE_CHECKING:
    from grafana_foundation_sdk.cog.builder import Builder


PanelBuilder = stat.Panel | statetimeline.Panel | table.Panel | timeseries.Panel
DATASOURCE = common.DataSourceRef(type_val="prometheus", uid="${datasource}")
GREEN, AMBER, RED, BLUE = "green", "orange", "red", "blue"
Order = Literal["alphabetical", "smallest first", "greatest first"]
_ORDERS: dict[Order, models.VariableSort] = {
    "alphabetical": models.VariableSort.ALPHABETICAL_ASC,
    "smallest first": models.VariableSort.NATURAL_ASC,
    "greatest first": models.VariableSort.NATURAL_DESC,
}


@dataclass(frozen=True, slots=True)
class Query:
    """One PromQL expression.

    Attributes:
        legend: name of a series, with ``{{label}}`` for a label's value; in tables, the column heading.
    """

    expr: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """Numbers from ``value`` on (None: from the beginning) have the colour ``color``."""

    value: float | None
    color: str


@dataclass(frozen=True, slots=True)
class Word:
    """A number shown as a word."""

    value: int
    text: str
    color: str


ALWAYS_GREEN = (Step(None, GREEN),)
ANY_IS_BAD = (Step(None, GREEN), Step(1, RED))


def _targets(queries: Sequence[Query], *, as_table: bool = False, now: bool = False) -> list[prometheus.Dataquery]:
    targets = []
    for letter, query in zip("ABCDEFGH", queries, strict=False):
        target = prometheus.Dataquery().expr(query.expr).ref_id(letter).datasource(DATASOURCE)
        target = target.legend_format(query.legend or "__auto")
        target = target.format(PromQueryFormat.TABLE if as_table else PromQueryFormat.TIME_SERIES)
        targets.append(target.instant() if now else target.range())
    return targets


def _thresholds(steps: Sequence[Step]) -> dashboard_builders.ThresholdsConfig:
    return (
        dashboard_builders.ThresholdsConfig()
        .mode(models.ThresholdsMode.ABSOLUTE)
        .steps([models.Threshold(step.value, step.color) for step in steps])
    )


def _mapping(words: Sequence[Word]) -> list[models.ValueMapping]:
    options = {
        str(word.value): models.ValueMappingResult(word.text, word.color, index=index)
        for index, word in enumerate(words)
    }
    return [models.ValueMap(options)] if options else []


def _by_thresholds() -> dashboard_builders.FieldColor:
    return dashboard_builders.FieldColor().mode(models.FieldColorModeId.THRESHOLDS)


def number(
    title: str,
    description: str,
    query: Query,
    *,
    unit: str = "short",
    steps: Sequence[Step] = ALWAYS_GREEN,
    words: Sequence[Word] = (),
    width: int = 3,
) -> PanelBuilder:
    """The current value of one number, coloured by steps or replaced by words."""
    panel = (
        stat.Panel()
        .title(title)
        .description(description)
        .datasource(DATASOURCE)
        .targets(list(_targets([query], now=True)))
        .unit(unit)
        .thresholds(_thresholds(steps))
        .color_scheme(_by_thresholds())
        .mappings(_mapping(words))
        .no_value("no data")
        .graph_mode(common.BigValueGraphMode.NONE)
        .color_mode(common.BigValueColorMode.BACKGROUND)
        .reduce_options(common_builders.ReduceDataOptions().calcs(["lastNotNull"]).fields("").values(False))
    )
    return panel.span(width).height(4)


def lines(
    title: str,
    description: str,
    queries: Sequence[Query],
    *,
    unit: str = "short",
    width: int = 12,
    height: int = 9,
    threshold: str = "",
    stacked: bool = False,
    soft_max: float | None = None,
) -> PanelBuilder:
    """Numbers over time. The series whose legend is ``threshold`` is a dashed red line."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(description)
        .datasource(DATASOURCE)
        .targets(list(_targets(queries)))
        .unit(unit)
        .min(0)
        .line_width(1)
        .fill_opacity(25 if stacked else 0)
        .show_points(common.VisibilityMode.NEVER)
        .legend(
            common_builders.VizLegendOptions()
            .display_mode(common.LegendDisplayMode.TABLE)
            .placement(common.LegendPlacement.RIGHT)
            .show_legend(True)
            .calcs(["lastNotNull", "max"])
        )
        .tooltip(
            common_builders.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI).sort(common.SortOrder.DESCENDING)
        )
    )
    if stacked:
        panel = panel.stacking(common_builders.StackingConfig().mode(common.StackingMode.NORMAL))
    if soft_max is not None:
        panel = panel.axis_soft_max(soft_max)
    if threshold:
        panel = panel.override_by_name(
            threshold,
            [
                models.DynamicConfigValue("color", {"mode": "fixed", "fixedColor": RED}),
                models.DynamicConfigValue("custom.lineStyle", {"fill": "dash", "dash": [10, 10]}),
                models.DynamicConfigValue("custom.lineWidth", 2),
            ],
        )
    return panel.span(width).height(height)


def states(
    title: str, description: str, query: Query, words: Sequence[Word], *, width: int = 12, height: int = 9
) -> PanelBuilder:
    """One line per series, coloured by its state over time."""
    panel = (
        statetimeline.Panel()
        .title(title)
        .description(description)
        .datasource(DATASOURCE)
        .targets(list(_targets([query])))
        .mappings(_mapping(words))
        .thresholds(_thresholds(ALWAYS_GREEN))
        .color_scheme(_by_thresholds())
        .merge_values(True)
        .show_value(common.VisibilityMode.NEVER)
        .row_height(0.8)
        .fill_opacity(80)
        .line_width(0)
        .legend(
            common_builders.VizLegendOptions()
            .display_mode(common.LegendDisplayMode.LIST)
            .placement(common.LegendPlacement.BOTTOM)
            .show_legend(True)
        )
    )
    return panel.span(width).height(height)


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    Attributes:
        query: its ``legend`` is the heading; the table's key distinguishes its series.
        words: shown instead of numbers.
    """

    query: Query
    unit: str = "short"
    words: Sequence[Word] = ()


def ranking(
    title: str,
    description: str,
    key: str,
    columns: Sequence[Column],
    *,
    sort_by: str,
    width: int = 24,
    height: int = 10,
) -> PanelBuilder:
    """A table of current values, one row for each value of the label ``key``, the greatest ``sort_by`` first."""
    heading = {f"Value #{letter}": column.query.legend for letter, column in zip("ABCDEFGH", columns, strict=False)}
    order = [key, *heading]
    panel = (
        table.Panel()
        .title(title)
        .description(description)
        .datasource(DATASOURCE)
        .targets(list(_targets([column.query for column in columns], as_table=True, now=True)))
        .transformations(
            [
                models.DataTransformerConfig("merge", options={}),
                models.DataTransformerConfig(
                    "organize",
                    options={
                        "excludeByName": {"Time": True},
                        "indexByName": {name: index for index, name in enumerate(order)},
                        "renameByName": heading,
                    },
                ),
            ]
        )
        .sort_by([common_builders.TableSortByFieldState().display_name(sort_by).desc(True)])
        .filterable(True)
        .decimals(4)
    )
    for column in columns:
        properties = [models.DynamicConfigValue("unit", column.unit)]
        if column.words:
            properties += [
                models.DynamicConfigValue("mappings", [words.to_json() for words in _mapping(column.words)]),
                models.DynamicConfigValue("custom.cellOptions", {"type": "color-background"}),
            ]
        panel = panel.override_by_name(column.query.legend, properties)
    return panel.span(width).height(height)


def datasource_variable() -> Builder[models.VariableModel]:
    """The choice of a Prometheus data source, which every query uses."""
    return dashboard_builders.DatasourceVariable("datasource").label("Data source").type("prometheus")


def label_variable(
    name: str, selector: str, description: str, *, sort: Order, first: str = ""
) -> Builder[models.VariableModel]:
    """The choice of one value of the label ``name`` among the series of ``selector``.

    Args:
        first: the initial value; if it does not exist, Grafana chooses the first value.
    """
    query = f"label_values({selector}, {name})"
    variable = (
        dashboard_builders.QueryVariable(name)
        .label(name.capitalize())
        .description(description)
        .datasource(DATASOURCE)
        .query({"query": query, "refId": f"{name}-variable"})
        .definition(query)
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(_ORDERS[sort])
    )
    if first:
        variable = variable.current(models.VariableOption(selected=True, text=first, value=first))
    return variable
