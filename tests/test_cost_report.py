"""The cost of runs in reports, and quality against energy."""

import json

import pytest
from helpers.runs import captions, contents, made, tables
from synthetic_runs import PLAN_KEYS

from analog_samson import load_preset
from analog_samson.errors import OptionError
from analog_samson.report.command import make_report
from analog_samson.report.drawing import NARROW, svg
from analog_samson.report.page import drawings, page_groups

HERMES = load_preset("pcm_hermes_2023_two_devices")
READ = 2 * 256 * 256 / 2.48e12  # energy of one read in the first mode [J]


def plan(*layers, digital=0):
    """A stored plan of analog layers (reads, outputs) of 100 inputs each, and a layer that stays digital."""
    rows = [
        dict.fromkeys(PLAN_KEYS, 0)
        | {"path": f"layer{place}", "layer_type": "Linear", "action": "analog", "reason": "", "shared_with": ""}
        | {"rows": 100, "columns": outputs, "groups": 1, "weights": 100 * outputs, "devices": 200 * outputs}
        | {"macs": reads * 100 * outputs}
        for place, (reads, outputs) in enumerate(layers)
    ]
    kept = {"path": "head", "action": "digital", "macs": digital, "devices": 0, "weights": 0, "groups": 0}
    return [*rows, rows[0] | kept] if digital else rows


def study(folder, *networks, preset=HERMES):
    """Runs of (name, value after a day, plan) on a preset with a cost."""
    return [
        made(
            folder / name,
            name,
            preset.name,
            {86400.0: [value, value + 0.2]},
            preset=preset.model_dump(mode="json"),
            plan=rows,
        )
        for name, value, rows in networks
    ]


def test_costs_when_networks_are_equal_share_a_column(tmp_path):
    paths = study(
        tmp_path, ("sgd", 80.0, plan((4, 10))), ("samson", 90.0, plan((4, 10))), ("big", 90.0, plan((4, 300)))
    )
    (table,) = tables(contents(*paths), "cost")
    assert table.headers == ("figure", "sgd, samson", "big", "assumption")
    shown = {row[0]: row[1:] for row in table.rows}
    assert shown["tiles of the chip"][:2] == ("1", "2")
    assert all(row[-1] for row in table.rows)
    energy = table.numbers.query("name == 'tile_joules'").set_index("networks").value
    assert energy["sgd, samson"] == pytest.approx(1e6 * 4 * READ)
    assert energy["big"] == pytest.approx(1e6 * 8 * READ)


def test_costs_when_no_preset_has_figures_are_left_out(tmp_path):
    paths = study(tmp_path, ("sgd", 80.0, plan((4, 10))), preset=load_preset("pcm_nandakumar_2019"))
    assert tables(contents(*paths), "cost") == []
    with pytest.raises(OptionError, match=r"cost.*pcm_hermes_2023_two_devices"):
        make_report(paths, "text", out=None, html=False, say=print, table="cost")


@pytest.mark.parametrize("damage", [{"weights": 0}, {"groups": 0}, {"preset": "another"}])
def test_costs_when_the_stored_plan_does_not_tell_are_left_out(tmp_path, damage):
    rows = plan((4, 10))
    rows[0] |= damage
    assert tables(contents(*study(tmp_path, ("sgd", 80.0, rows))), "cost") == []


def test_frontier_when_a_network_is_beaten_in_both_leaves_it_out(tmp_path):
    paths = study(
        tmp_path,
        ("small", 80.0, plan((4, 10))),
        ("wasteful", 79.0, plan((9, 10))),
        ("large", 90.0, plan((4, 300))),
        ("slow", 90.0, plan((8, 300))),
    )
    report = contents(*paths)
    (table,) = tables(report, "cost_frontier")
    assert dict(zip(table.frame.network, table.frame.frontier, strict=True)) == {
        "small": True,
        "large": True,
        "wasteful": False,
        "slow": False,
    }
    assert table.numbers.energy_joules.tolist() == pytest.approx([4 * READ, 8 * READ, 9 * READ, 16 * READ])
    assert "accuracy" in captions(report)["cost_frontier"]
    assert "not given" not in captions(report)["cost_frontier"]


def test_frontier_when_all_energies_are_equal_is_left_out(tmp_path):
    paths = study(tmp_path, ("sgd", 80.0, plan((4, 10))), ("samson", 90.0, plan((4, 10))))
    assert tables(contents(*paths), "cost_frontier") == []


def test_frontier_when_a_layer_is_digital_needs_its_price(tmp_path):
    """Cheaper on tiles, dearer as a whole: what stays digital decides who is on the frontier."""
    paths = study(tmp_path, ("whole", 80.0, plan((5, 10))), ("mixed", 79.0, plan((4, 10), digital=10**6)))
    report = contents(*paths)
    assert "tiles alone" in captions(report)["cost_frontier"]
    (table,) = tables(report, "cost_frontier")
    assert table.frame.frontier.tolist() == [True, True]
    assert "energy of tiles uJ" in table.headers
    report = contents(*paths)
    report.digital_pj_per_mac = 1.0
    (table,) = tables(report, "cost_frontier")
    assert "energy uJ" in table.headers
    assert dict(zip(table.frame.network, table.frame.frontier, strict=True)) == {"whole": True, "mixed": False}
    assert table.numbers.energy_joules.max() == pytest.approx(4 * READ + 1e-6)


def test_report_when_made_from_priced_runs_has_table_and_figure(tmp_path):
    paths = study(tmp_path, ("small", 80.0, plan((4, 10))), ("large", 90.0, plan((40, 300))))
    report = contents(*paths)
    groups = page_groups(report)
    assert b"energy an inference" in svg(drawings(groups)["cost_frontier"], NARROW, text=True)
    (cost,) = [part for group in groups for part in group.parts if part.name == "cost"]
    assert "estimates" in " ".join(cost.notes)
    document = json.loads(make_report(paths, "json", out=None, html=False, say=print, digital_pj_per_mac=2.0))
    assert {row["networks"] for row in document["tables"]["cost"]} == {"small", "large"}
    assert [row["on_frontier"] for row in document["tables"]["cost_frontier"]] == [True, True]


@pytest.mark.parametrize("price", [-1.0, float("nan"), float("inf")])
def test_report_when_the_digital_price_is_no_price_is_refused(tmp_path, price):
    with pytest.raises(OptionError, match="--digital-pj-per-mac"):
        make_report([tmp_path], "text", out=None, html=False, say=print, digital_pj_per_mac=price)
