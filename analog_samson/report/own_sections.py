"""The sections that every report has, in its order."""

from analog_samson.analysis.error_budget import ErrorBudget
from analog_samson.analysis.labels import few_names
from analog_samson.analysis.ranking import Ranking
from analog_samson.analysis.summary import Result
from analog_samson.report import (
    comparison_tables,
    cost_tables,
    error_budget_tables,
    heat_map_tables,
    input_range_tables,
    lifetime_tables,
    preset_tables,
    section_facts,
    value_tables,
)
from analog_samson.report.citations import references
from analog_samson.report.contents import FEW, MOST_CURVES, Contents
from analog_samson.report.provenance import hardware, preset_values, preset_views, presets, settings
from analog_samson.report.section import Figure, Section
from analog_samson.report.section_figures import drawn_by

_BUDGET = "run `analog-samson simulate ... --error-budget`"
_PRICED = "simulate on presets with published figures, section [cost], such as pcm_hermes_2023_two_devices"


def _budgets(report: Contents) -> tuple[error_budget_tables.RunBudget, ...]:
    return report.budgets


def _results(report: Contents) -> tuple[tuple[Result, ...]]:
    return (report.results,)


def _ranking(report: Contents) -> tuple[Ranking]:
    return (report.ranking,)


def _budget(report: Contents, budget: error_budget_tables.RunBudget) -> tuple[ErrorBudget]:
    return (budget[1],)


_TIME = "{{ metric.title | upper_first }} over time"
OWN_SECTIONS = (
    Section(
        name="heat_map",
        title="Every network on every preset",
        table=heat_map_tables.heat_map,
        remark="heat_map.j2",
        facts=heat_map_tables.heat_map_facts,
        items=lambda report: report.heat_maps,
        crowded="shown",
    ),
    Section(
        name="over_time",
        title=_TIME,
        figure=Figure(
            draw=drawn_by("figures.over_time", _results),
            caption="over_time_caption.j2",
            data=lambda report: value_tables.state_numbers(report.results),
        ),
        facts=section_facts.state_facts,
    ),
    Section(name="overview", title=_TIME, table=value_tables.overview),
    Section(
        name="details", title=_TIME, table=value_tables.details, items=lambda report: report.results, crowded="exported"
    ),
    Section(
        name="preset_differences",
        title="Presets",
        table=preset_tables.preset_differences,
        sentence="preset_differences.j2",
        remark="preset_differences_remark.j2",
        facts=preset_tables.preset_facts,
    ),
    Section(name="pairing", title="Comparison", note="comparison_note.j2"),
    Section(
        name="difference_over_time",
        title="Comparison",
        figure=Figure(
            draw=drawn_by("figures.difference_over_time", lambda report: (report.leading, report.results)),
            caption="difference_over_time_caption.j2",
            data=comparison_tables.leading_numbers,
        ),
        facts=section_facts.difference_facts,
    ),
    Section(
        name="differences",
        title="Comparison",
        table=comparison_tables.differences,
        crowded="exported",
        figure=Figure(draw=drawn_by("ranking_figures.differences", _ranking), caption="differences_caption.j2"),
        facts=section_facts.ranking_facts,
    ),
    Section(
        name="ranks",
        title="Comparison",
        table=comparison_tables.ranks,
        figure=Figure(
            draw=drawn_by("ranking_figures.heat_map", _ranking),
            caption="Mean {{ metric | titled }} at the last time; the stronger the colour, the "
            "{{ 'higher' if metric.higher_is_better else 'better' }}.",
            data=comparison_tables.frontier_numbers,
        ),
    ),
    Section(
        name="comparison",
        title="Comparison",
        table=comparison_tables.comparison,
        crowded="exported",
        sentence="comparison.j2",
        items=lambda report: report.comparisons,
        facts=section_facts.pair_facts,
    ),
    Section(
        name="frontier",
        title="Frontier",
        table=comparison_tables.frontier,
        crowded="exported",
        figure=Figure(draw=drawn_by("ranking_figures.frontier", _ranking), caption="frontier_caption.j2"),
        facts=section_facts.ranking_facts,
    ),
    Section(
        name="cost_frontier",
        title="Frontier",
        table=cost_tables.cost_frontier,
        crowded="shown",
        figure=Figure(
            draw=drawn_by("ranking_figures.cost_frontier", lambda report: (report.ranking, report.cost_points)),
            caption="cost_frontier_caption.j2",
        ),
        facts=section_facts.cost_facts,
        remedy=_PRICED,
    ),
    Section(
        name="lifetime",
        title="Lifetime",
        table=lifetime_tables.lifetime,
        sentence="lifetime.j2",
        note="lifetime_note.j2",
        facts=lambda report: {"few": FEW},
    ),
    Section(
        name="yield",
        title="Yield",
        table=lifetime_tables.chip_yield,
        sentence="yield.j2",
        figure=Figure(
            draw=drawn_by("figures.chip_yield", _results),
            caption="yield_caption.j2",
            data=lifetime_tables.yield_numbers,
        ),
        facts=section_facts.yield_facts,
    ),
    Section(
        name="error_budget",
        title="Error budget",
        table=error_budget_tables.effects,
        sentence="error_budget.j2",
        remark="error_budget_remark.j2",
        figure=Figure(draw=drawn_by("error_budget_figures.effects", _budget), caption="error_budget_caption.j2"),
        facts=section_facts.budget_facts,
        items=_budgets,
        label=section_facts.budget_name,
        remedy=_BUDGET,
    ),
    Section(
        name="layer_sensitivity",
        title="Layer sensitivity",
        table=error_budget_tables.layers,
        sentence="layer_sensitivity.j2",
        figure=Figure(draw=drawn_by("error_budget_figures.layers", _budget), caption="layer_sensitivity_caption.j2"),
        items=_budgets,
        facts=section_facts.layer_facts,
        label=section_facts.budget_name,
        remedy=_BUDGET,
    ),
    Section(
        name="mitigations",
        title="Mitigations",
        table=error_budget_tables.mitigations,
        sentence="mitigations.j2",
        figure=Figure(draw=drawn_by("error_budget_figures.mitigations", _budget), caption="mitigations_caption.j2"),
        items=_budgets,
        facts=section_facts.mitigation_facts,
        label=section_facts.budget_name,
        remedy=_BUDGET,
    ),
    Section(
        name="margins",
        title="Decisions",
        table=error_budget_tables.margins,
        sentence="decisions.j2",
        figure=Figure(draw=drawn_by("error_budget_figures.margins", _budget), caption="margins_caption.j2"),
        items=_budgets,
        label=section_facts.budget_name,
        remedy=_BUDGET,
    ),
    Section(
        name="confusion",
        title="Decisions",
        table=error_budget_tables.confusion,
        figure=Figure(draw=drawn_by("error_budget_figures.confusion", _budget), caption="confusion_caption.j2"),
        items=_budgets,
        label=section_facts.budget_name,
        remedy=_BUDGET,
    ),
    Section(
        name="gaussian",
        title="Equivalent sigma_c",
        table=value_tables.gaussian,
        note="gaussian_note.j2",
        figure=Figure(draw=drawn_by("figures.gaussian", _results), caption="gaussian_caption.j2"),
        facts=section_facts.gaussian_facts,
        remedy="run `analog-samson simulate ... --sigmas 0,0.1,0.2`",
    ),
    Section(
        name="input_ranges",
        title="Input ranges",
        table=input_range_tables.input_ranges,
        sentence="input_ranges.j2",
        facts=input_range_tables.range_facts,
        items=input_range_tables.runs_with_ranges,
        label=lambda run: run.name,
        remedy="simulate a preset with converters, such as pcm_rasch_2023",
    ),
    Section(
        name="cost",
        title="Cost",
        table=cost_tables.costs,
        note="Energy and time are estimates from published peak figures, not measurements of this network.",
        remedy=_PRICED,
    ),
    Section(name="notes", title="Notes", remark="notes.j2", facts=section_facts.note_facts),
    Section(
        name="hardware",
        title="Hardware",
        page="hardware.html",
        items=lambda report: hardware(report.runs),
        label=lambda item: few_names(item.runs),
    ),
    Section(
        name="preset",
        title="Device preset",
        page="preset.html",
        items=lambda report: preset_views(report.runs)[: None if preset_values(report) is None else 1],
    ),
    Section(name="preset_values", title="Device preset", table=preset_values),
    Section(
        name="settings",
        title="Settings",
        page="settings.html",
        facts=lambda report: {"settings": settings(report.runs), "most": MOST_CURVES},
    ),
    Section(name="reproduce", title="Reproduce", page="reproduce.html", facts=section_facts.command_facts),
    Section(
        name="cite",
        title="Cite",
        page="cite.html",
        facts=lambda report: {"references": references(presets(report.runs))},
    ),
)
