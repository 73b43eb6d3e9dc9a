"""Presets that share a base, and presets whose source does not say up to when they hold."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from commands import output_of
from helpers.runs import contents, made

from analog_samson import load_preset
from analog_samson.cli.presets import app
from analog_samson.errors import PresetError
from analog_samson.presets import list_presets, parse_preset
from analog_samson.presets.search import load_resolved
from analog_samson.presets.validity import UNSTATED, Validity, validity_of
from analog_samson.report.command import make_report
from analog_samson.report.rendering import render_text
from analog_samson.report.value_tables import overview

HEAD = 'schema = 1\nname = "{name}"\nsummary = "mine"\nbase = "{base}"\n'
HOUR, YEAR = 3600.0, 31536000.0


def variant(folder: Path, name="mine", base="pcm_nandakumar_2019", text=""):
    path = folder / f"{name}.toml"
    path.write_text(HEAD.format(name=name, base=base) + text)
    return path


def test_variant_when_it_changes_nothing_has_the_values_of_its_base(tmp_path):
    found, base = load_preset(variant(tmp_path)), load_preset("pcm_nandakumar_2019")
    own = {"name", "summary", "title"}
    assert found.model_dump(exclude=own) == base.model_dump(exclude=own)
    assert (found.name, found.summary, found.title) == ("mine", "mine", "")


def test_variant_when_it_overrides_equals_the_file_with_all_values(tmp_path):
    text = "[drift]\nt0_seconds = 60.0\n[tile]\nmax_rows = 512\n"
    found = load_preset(variant(tmp_path, text=text))
    mapping = load_preset("pcm_nandakumar_2019").model_dump(mode="json") | {"name": "mine", "summary": "mine"}
    mapping["drift"] |= {"t0_seconds": 60.0}
    mapping["tile"] |= {"max_rows": 512}
    assert found.fingerprint == parse_preset(mapping, "whole").fingerprint


def test_section_when_it_has_another_model_replaces_that_of_the_base(tmp_path):
    found = load_preset(
        variant(tmp_path, text='[drift]\nmodel = "constant_exponent"\nt0_seconds = 1.0\nnu_mean = 0.1\nnu_std = 0.0\n')
    )
    assert found.drift.model_dump() == {"model": "constant_exponent", "t0_seconds": 1.0, "nu_mean": 0.1, "nu_std": 0.0}
    with pytest.raises(PresetError, match=r"drift\.nu_mean: missing"):
        load_preset(variant(tmp_path, text='[drift]\nmodel = "constant_exponent"\n'))


def test_variant_of_a_variant_when_its_base_lies_beside_it_has_both_changes(tmp_path):
    variant(tmp_path, "first", text="[drift]\nt0_seconds = 60.0\n")
    found = load_preset(variant(tmp_path, "second", "first", "[tile]\nmax_columns = 256\n"))
    assert (found.drift.t0_seconds, found.tile.max_columns, found.device.g_max_microsiemens) == (60.0, 256, 25.0)


@pytest.mark.parametrize(
    ("base", "message"),
    [
        (
            "pcm_nandakumar_2091",
            r"base: preset 'pcm_nandakumar_2091': no such preset; did you mean 'pcm_nandakumar_2019'",
        ),
        ("mine", r"base: mine -> mine has no beginning"),
        ("../mine", r"base: preset '\.\./mine': no such preset"),
    ],
)
def test_base_when_it_cannot_be_is_refused(tmp_path, base, message):
    with pytest.raises(PresetError, match=message):
        load_preset(variant(tmp_path, base=base))


def test_base_when_it_is_no_name_is_refused(tmp_path):
    path = variant(tmp_path)
    path.write_text(path.read_text().replace('"pcm_nandakumar_2019"', "3"))
    with pytest.raises(PresetError, match="base: expected the name of a preset, got 3"):
        load_preset(path)


def test_bases_when_they_name_each_other_are_refused(tmp_path):
    variant(tmp_path, "one", "two")
    with pytest.raises(PresetError, match="base: two -> one -> two has no beginning"):
        load_preset(variant(tmp_path, "two", "one"))


def test_variant_when_an_override_is_wrong_names_its_place(tmp_path):
    with pytest.raises(PresetError) as caught:
        load_preset(variant(tmp_path, text="[drift]\nt0_second = 60.0\n[tile]\nmax_rows = -1\n"))
    assert "drift.t0_second: unknown key; did you mean 't0_seconds'" in str(caught.value)
    assert "tile.max_rows: expected a whole number" in str(caught.value)


def test_every_base_when_its_variants_are_shipped_is_a_file_that_says_everything():
    found = {preset.name: load_resolved(preset.name) for preset in list_presets()}
    variants = {name: one for name, one in found.items() if one.base}
    assert len(variants) >= 12
    assert all(found[one.base].base == "" and one.overrides for one in variants.values())
    for name, one in variants.items():
        same = [
            path
            for path in one.overrides
            if path.count(".") == 1
            and load_preset(name).model_dump().get(path.split(".")[0], {}).get(path.split(".")[1])
            == load_preset(one.base).model_dump().get(path.split(".")[0], {}).get(path.split(".")[1])
        ]
        sections = {path.split(".")[0] for path in same}
        replaced = {
            section
            for section in sections
            if load_preset(name).model_dump()[section].get("model")
            != load_preset(one.base).model_dump()[section].get("model")
        }
        assert sections <= replaced, f"{name} repeats {same}"


def test_show_when_a_preset_has_a_base_names_what_it_overrides():
    output = output_of(app, "show", "pcm_nandakumar_2019_per_column", "--times", "1s")
    assert "base: pcm_nandakumar_2019, of which it overrides source.notes, compensation.kind" in output
    assert "drift.t0_seconds" in output
    assert "base:" not in output_of(app, "show", "ideal", "--times", "1s")


def test_check_when_a_variant_is_right_gives_the_fingerprint_of_the_whole(tmp_path):
    path = variant(tmp_path)
    output = output_of(app, "check", path)
    assert load_preset(path).fingerprint[:12] in output


def test_validity_when_the_source_states_none_is_unknown_at_every_time():
    hermes = validity_of(load_preset("pcm_hermes_2023_one_device").model_dump(mode="json"))
    assert [hermes.coverage(time) for time in (None, 0.0, 1.0, YEAR)] == ["", "", UNSTATED, UNSTATED]
    assert asdict(hermes) == asdict(Validity(stated=False))
    hot = load_preset("pcm_hermes_2023_one_device").model_dump(mode="json")
    hot["device"]["g_max_microsiemens"] = 99.0
    assert validity_of(hot).coverage(1.0) == "extrapolated"


@pytest.mark.parametrize("value", ["unknown", 0.0, -1.0, float("inf"), True, [1.0]])
def test_validity_when_it_is_neither_a_time_nor_not_stated_is_refused(value):
    mapping = load_preset("ideal").model_dump(mode="json")
    mapping["validity"]["max_seconds"] = value
    with pytest.raises(PresetError, match=r"max_seconds: expected a finite number above 0, or 'not stated', got"):
        parse_preset(mapping, "mine")


def test_report_when_validity_is_not_stated_says_so(tmp_path):
    preset = load_preset("pcm_hermes_2023_one_device").model_dump(mode="json")
    folder = made(tmp_path / "run", "net", preset["name"], {HOUR: [90.0, 91.0]}, preset=preset)
    report = contents(folder)
    text = render_text([overview(report)])
    assert "***" in text
    assert "does not state whether it covers it" in text
    assert UNSTATED in make_report([folder], "csv", out=None, html=False, say=lambda text: None)
    assert json.loads(json.dumps(preset))["validity"]["max_seconds"] == "not stated"
