"""Preset files: schema, faults, search."""

import copy
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import ValidationError

from analog_samson.errors import PresetError
from analog_samson.presets import Preset, list_presets, load_preset, parse_preset
from analog_samson.presets.describe import describe
from analog_samson.presets.search import ENTRY_POINTS, ENVIRONMENT, find_preset_files
from analog_samson.presets.validity import validity_of

BUILT_IN = sorted(path.stem for path in (Path(__file__).parents[1] / "hw_presets").glob("*.toml"))
HW_PRESETS = Path(__file__).parents[1] / "hw_presets"


@pytest.fixture
def mapping():
    """A fresh copy of the richest built-in preset, to be spoiled."""
    return copy.deepcopy(load_preset("pcm_rasch_2023").model_dump(mode="json"))


def preset_text(name, based_on="ideal"):
    return (HW_PRESETS / f"{based_on}.toml").read_text().replace(f'name = "{based_on}"', f'name = "{name}"')


def write_preset(folder, name, based_on="ideal"):
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.toml"
    path.write_text(preset_text(name, based_on))
    return path


def faults_of(mapping, **keywords):
    with pytest.raises(PresetError) as caught:
        parse_preset(mapping, "mine.toml", **keywords)
    return str(caught.value)


def test_list_presets_when_nothing_is_added_gives_the_files_of_the_folder():
    presets = list_presets()
    assert [preset.name for preset in presets] == BUILT_IN
    assert {"ideal", "pcm_nandakumar_2019", "pcm_rasch_2023", "gaussian_joshi_2020", "reram_wan_2022"} <= set(BUILT_IN)
    assert len(BUILT_IN) >= 14


@pytest.mark.parametrize("name", BUILT_IN)
def test_dump_when_parsed_again_gives_an_equal_preset(name):
    preset = load_preset(name)
    again = parse_preset(preset.model_dump(mode="json"), "a run folder")
    assert again == preset
    assert again.fingerprint == preset.fingerprint


@pytest.mark.parametrize("name", BUILT_IN)
def test_built_in_preset_when_checked_has_a_source(name):
    source = load_preset(name).source
    assert source.doi.startswith("10.")
    assert len(source.notes) > 50


def test_fingerprint_when_one_number_changes_differs(mapping):
    before = parse_preset(mapping, "x").fingerprint
    mapping["drift"]["nu_mean_slope"] *= 1.0000001
    assert parse_preset(mapping, "x").fingerprint != before


def test_fingerprint_when_a_number_is_written_as_whole_number_stays(mapping):
    before = parse_preset(mapping, "x").fingerprint
    mapping["device"]["g_max_microsiemens"] = 25
    assert parse_preset(mapping, "x").fingerprint == before


def test_preset_when_assigned_to_refuses():
    preset = load_preset("ideal")
    with pytest.raises(ValidationError, match="frozen"):
        preset.device.g_max_microsiemens = 1.0
    assert hash(preset) == hash(load_preset("ideal"))


def test_parse_preset_when_many_keys_are_wrong_reports_all_of_them(mapping):
    mapping["foo"] = 1
    mapping["schema"] = True
    mapping["summary"] = "two\nlines"
    mapping["source"].update(kind="fited", doi="nature", year=23)
    mapping["device"].update(g_max_microsiemens=float("nan"), pairs=17)
    mapping["programming"]["coefficients_microsiemens"] = [0.2, "0.1"]
    mapping["drift"]["t_0_seconds"] = mapping["drift"].pop("t0_seconds")
    mapping["drift"]["nu_std_max"] = True
    mapping["read"] = 3
    mapping["tile"] = {"max_rows": 512.0, "max_columns": -1}
    mapping["periphery"]["model"] = "convertors"
    del mapping["compensation"]["kind"]
    del mapping["validity"]
    golden = Path(__file__).parent / "golden" / "preset_faults.txt"
    assert faults_of(mapping, file_stem="mine") + "\n" == golden.read_text()


@pytest.mark.parametrize(
    ("section", "key", "value", "message"),
    [
        ("device", "g_min_microsiemens", 25.0, "expected below g_max_microsiemens (25), got 25.0"),
        ("drift", "nu_mean_min", 0.2, "expected at most nu_mean_max (0.1), got 0.2"),
        ("drift", "nu_std_min", 0.2, "expected at most nu_std_max (0.045), got 0.2"),
        ("drift", "nu_mean_slope", float("inf"), "expected a finite number, got inf"),
        ("read", "q_denominator_min", 0.0, "expected a finite number above 0, got 0.0"),
        ("periphery", "read_noise", 0.0, "expected a number above 0 for read_noise_kind 'pcm', got 0.0"),
        (
            "periphery",
            "noise_management_threshold",
            0.0,
            "expected a number above 0 for noise_management 'constant', got 0.0",
        ),
        ("periphery", "dac_bits", 1, "expected a whole number, 0 (no quantisation) or 2 to 24, got 1"),
        (
            "programming",
            "coefficients_microsiemens",
            [0.1, -1.0],
            "expected a list of finite numbers [c0, c1, ...] whose polynomial is nowhere negative between 0 and 1, "
            "got [0.1, -1.0]",
        ),
    ],
)
def test_parse_preset_when_a_number_is_out_of_range_says_what_was_expected(mapping, section, key, value, message):
    mapping[section][key] = value
    assert faults_of(mapping) == f"mine.toml: 1 problem\n  {section}.{key}: {message}"


@pytest.mark.parametrize(("kind", "number"), [("read_noise_kind", "read_noise"), ("noise_management", None)])
def test_parse_preset_when_a_number_belongs_to_no_kind_refuses_it(mapping, kind, number):
    mapping["periphery"][kind] = "none"
    number = number or "noise_management_threshold"
    assert f"periphery.{number}: expected 0 for {kind} 'none', got" in faults_of(mapping)
    mapping["periphery"][number] = 0.0
    assert isinstance(parse_preset(mapping, "x"), Preset)


def test_parse_preset_when_a_section_has_no_model_says_which_there_are(mapping):
    mapping["programming"] = {}
    expected = "programming.model: missing; expected one of 'none', 'polynomial', 'linear', 'relative_gaussian', "
    assert expected in faults_of(mapping)


def test_parse_preset_when_a_key_belongs_to_another_model_is_unknown(mapping):
    mapping["drift"] = {"model": "none", "t0_seconds": 20.0}
    assert "drift.t0_seconds: unknown key; known keys: model" in faults_of(mapping)


def leaf_paths(table, path=()):
    for key, value in table.items():
        yield from leaf_paths(value, (*path, key)) if isinstance(value, dict) else [(*path, key)]


# Together these have every section and every kind of value, lists of lists among them.
MODELS = (
    "pcm_rasch_2023",
    "pcm_hermes_2023_one_device",
    "pcm_li_2023_example",
    "reram_wan_2022",
    "reram_cmo_2024_accept_2",
)
LEAVES = [(name, leaf) for name in MODELS for leaf in leaf_paths(load_preset(name).model_dump(mode="json"))]
MAY_BE_EMPTY = {("device", "significance"), ("validity", "published_seconds")}


def table_of(mapping, leaf):
    for key in leaf[:-1]:
        mapping = mapping[key]
    return mapping


@given(st.sampled_from(LEAVES), st.sampled_from([True, float("nan"), float("-inf"), {}, [], [True], [[]], [[True]]]))
def test_parse_preset_when_any_leaf_is_spoiled_names_it(place, value):
    name, leaf = place
    assume(value != [] or leaf not in MAY_BE_EMPTY)
    mapping = copy.deepcopy(load_preset(name).model_dump(mode="json"))
    table_of(mapping, leaf)[leaf[-1]] = value
    assert f"\n  {'.'.join(leaf)}" in faults_of(mapping)


def test_title_is_one_line_optional_and_no_part_of_the_fingerprint():
    preset = load_preset("pcm_nandakumar_2019")
    untitled = preset.model_copy(update={"title": ""})
    assert preset.title == "PCM, Nandakumar 2019"
    assert untitled.fingerprint == preset.fingerprint
    assert "title" not in untitled.model_dump()
    assert all(preset.title for preset in list_presets())
    assert "title: expected one line of text" in faults_of(preset.model_dump(mode="json") | {"title": "two\nlines"})


@given(st.sampled_from(LEAVES))
def test_parse_preset_when_any_leaf_is_missing_names_it(place):
    name, leaf = place
    assume(leaf != ("title",))
    mapping = copy.deepcopy(load_preset(name).model_dump(mode="json"))
    del table_of(mapping, leaf)[leaf[-1]]
    assert faults_of(mapping).startswith(f"mine.toml: 1 problem\n  {'.'.join(leaf)}: missing; expected ")


@pytest.mark.parametrize(
    ("name", "path", "value", "message"),
    [
        ("ideal", "device.pairs", 2, "device.sharing: expected 'averaged' or 'filled' for several pairs, got 'none'"),
        ("ideal", "device.pairs", 2, "device.significance: expected 2 numbers, one a pair, got []"),
        ("ideal", "device.pairs", 17, "device.pairs: expected a whole number, 0 (a single device) to 16, got 17"),
        ("ideal", "device.sharing", "filled", "device.sharing: expected 'none' for fewer than two pairs, got 'filled'"),
        ("ideal", "device.significance", [1.0], "expected an empty list for fewer than two pairs, got [1.0]"),
        ("ideal", "compensation.reads", 0, "compensation.reads: expected a whole number above 0, got 0"),
        (
            "reram_wan_2022",
            "drift.seconds",
            [2.0, 1.0, 3.0],
            "drift.seconds: expected a list of rising finite numbers above 0, got [2.0, 1.0, 3.0]",
        ),
        (
            "reram_wan_2022",
            "drift.coefficients_microsiemens",
            [[1.0], [1.0]],
            "drift.coefficients_microsiemens: expected as many entries as seconds has (3), got [[1.0], [1.0]]",
        ),
        (
            "reram_wan_2022",
            "drift.coefficients_microsiemens",
            [[1.0], [1.0, -2.0], ["x"]],
            "drift.coefficients_microsiemens[1]: expected a list of finite numbers [c0, c1, ...] whose polynomial is "
            "nowhere negative between 0 and 1, got [1.0, -2.0]\n  drift.coefficients_microsiemens[2][0]: expected a "
            "finite number, got 'x'",
        ),
        ("pcm_li_2023_example", "drift.nu_std", [0.1], "expected as many entries as g_microsiemens has (3), got [0.1]"),
        ("pcm_li_2023_example", "drift.g_microsiemens", [0.0], "expected a list of at least two rising finite numbers"),
        (
            "pcm_hermes_2023_one_device",
            "read.q_coefficients",
            [0.0, -1.0],
            "read.q_coefficients: expected a list of finite numbers [c0, c1, ...] whose polynomial is nowhere negative",
        ),
    ],
)
def test_parse_preset_when_keys_of_a_device_do_not_fit_says_what_was_expected(name, path, value, message):
    mapping = copy.deepcopy(load_preset(name).model_dump(mode="json"))
    section, key = path.split(".")
    mapping[section][key] = value
    assert message in faults_of(mapping)


def test_devices_of_a_weight_when_counted_are_two_a_pair_or_one():
    names = ("reram_cmo_2024_accept_2", "pcm_nandakumar_2019", "pcm_nandakumar_2019_four_pairs")
    assert [load_preset(name).device.per_weight for name in names] == [1, 2, 8]


def test_validity_when_asked_for_times_tells_interpolated_from_extrapolated():
    wan, pcm = (validity_of(load_preset(n).model_dump(mode="json")) for n in ("reram_wan_2022", "pcm_nandakumar_2019"))
    times = (0.5, 1.0, 3600.0, 86400.0, 100000.0, 172800.0, 172801.0)
    assert [wan.coverage(t)[:2] for t in times] == ["ex", "", "in", "", "in", "", "ex"]
    assert [pcm.coverage(t) for t in (0.0, 86400.0, 86401.0)] == ["", "", "extrapolated"]


def test_load_preset_when_the_name_is_unknown_names_the_nearest():
    with pytest.raises(PresetError, match=r"'pcm_nandakumar': no such preset; did you mean 'pcm_nandakumar_2019'"):
        load_preset("pcm_nandakumar")
    with pytest.raises(PresetError, match="no such preset; `analog-samson presets list` shows all names"):
        load_preset("zzz")


def test_load_preset_when_given_a_path_reads_that_file(tmp_path):
    path = write_preset(tmp_path, "mine")
    assert load_preset(path) == load_preset(str(path))
    assert load_preset(path).name == "mine"


def test_load_preset_when_the_file_is_missing_says_so(tmp_path):
    with pytest.raises(PresetError, match=r"nowhere\.toml: no such file"):
        load_preset("nowhere.toml")
    with pytest.raises(PresetError, match="no such file"):
        load_preset(f"{tmp_path}{os.sep}ideal")


def test_load_preset_when_the_path_is_a_folder_says_so(tmp_path):
    with pytest.raises(PresetError, match="cannot be read: Is a directory"):
        load_preset(tmp_path)


def test_load_preset_when_the_file_is_no_toml_names_the_line(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("schema = 1\nname = mine\n")
    with pytest.raises(PresetError, match=r"mine\.toml: not valid TOML: .*line 2, column 8"):
        load_preset(path)


def test_load_preset_when_the_file_is_no_text_says_so(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_bytes(b"name = '\xff'")
    with pytest.raises(PresetError, match=r"not UTF-8 text \(byte 8\)"):
        load_preset(path)


def test_load_preset_when_the_name_is_not_the_files_says_both(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(preset_text("yours"))
    with pytest.raises(PresetError, match="name: expected 'mine', the file's own name, got 'yours'"):
        load_preset(path)


def test_load_preset_when_the_file_differs_from_a_built_in_of_that_name_refuses(tmp_path):
    path = tmp_path / "ideal.toml"
    path.write_text(preset_text("ideal").replace("max_rows = 0", "max_rows = 64"))
    with pytest.raises(PresetError, match=r"'ideal' is in two files, .*ideal\.toml and .*ideal\.toml; rename one"):
        load_preset(path)


def test_load_preset_when_the_file_is_a_copy_of_the_built_in_reads_it(tmp_path):
    path = write_preset(tmp_path, "ideal")
    assert load_preset(path) == load_preset("ideal")
    assert load_preset(HW_PRESETS / "ideal.toml") == load_preset("ideal")


def test_load_preset_when_in_a_preset_folder_is_found_by_name(tmp_path):
    write_preset(tmp_path, "mine")
    assert load_preset("mine", [tmp_path]).name == "mine"
    assert "mine" in find_preset_files([tmp_path, tmp_path])
    with pytest.raises(PresetError):
        load_preset("mine")


def test_load_preset_when_another_file_of_the_folder_is_faulty_still_works(tmp_path):
    write_preset(tmp_path, "mine")
    (tmp_path / "broken.toml").write_text("?")
    (tmp_path / "notes.txt").write_text("no preset")
    assert load_preset("mine", [tmp_path]).name == "mine"


def test_list_presets_when_files_are_faulty_reports_every_one(tmp_path):
    (tmp_path / "broken.toml").write_text("?")
    (tmp_path / "empty.toml").write_text("")
    with pytest.raises(PresetError) as caught:
        list_presets([tmp_path])
    assert "broken.toml: not valid TOML" in str(caught.value)
    assert "empty.toml: 12 problems" in str(caught.value)


def test_find_preset_files_when_a_name_is_there_twice_names_both_files(tmp_path):
    first, second = write_preset(tmp_path / "a", "mine"), write_preset(tmp_path / "b", "mine")
    with pytest.raises(PresetError) as caught:
        find_preset_files([tmp_path / "a", tmp_path / "b"])
    assert str(first) in str(caught.value)
    assert str(second) in str(caught.value)


def test_find_preset_files_when_a_folder_has_a_built_in_name_refuses(tmp_path):
    write_preset(tmp_path, "ideal")
    with pytest.raises(PresetError, match="'ideal' is in two files"):
        load_preset("ideal", [tmp_path])


def test_find_preset_files_when_the_folder_is_missing_says_so(tmp_path, monkeypatch):
    with pytest.raises(PresetError, match="expected a folder, found nothing there"):
        find_preset_files([tmp_path / "nowhere"])
    monkeypatch.setenv(ENVIRONMENT, str(write_preset(tmp_path, "mine")))
    with pytest.raises(PresetError, match=f"preset folder in {ENVIRONMENT} .* found a file"):
        find_preset_files()


def test_find_preset_files_when_the_environment_names_folders_searches_all(tmp_path, monkeypatch):
    write_preset(tmp_path / "a", "one")
    write_preset(tmp_path / "b", "two")
    monkeypatch.setenv(ENVIRONMENT, os.pathsep.join(["", str(tmp_path / "a"), str(tmp_path / "b")]))
    assert {"one", "two", *BUILT_IN} == set(find_preset_files())


def entry_point(monkeypatch, value):
    point = metadata.EntryPoint("chips", value, ENTRY_POINTS)
    monkeypatch.setattr(metadata, "entry_points", lambda group: [point] if group == ENTRY_POINTS else [])


def test_find_preset_files_when_a_package_brings_presets_finds_them(tmp_path, monkeypatch):
    write_preset(tmp_path / "chips_for_test", "their_chip")
    (tmp_path / "chips_for_test" / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    entry_point(monkeypatch, "chips_for_test")
    assert load_preset("their_chip").name == "their_chip"


def test_find_preset_files_when_an_entry_point_is_broken_names_it(monkeypatch):
    entry_point(monkeypatch, "no_such_package_here")
    with pytest.raises(PresetError, match=r"entry point 'chips' .* names 'no_such_package_here'"):
        find_preset_files()


@pytest.mark.parametrize("name", BUILT_IN)
def test_describe_when_given_a_preset_has_a_meaning_for_every_value(name):
    rows = describe(load_preset(name))
    assert all(row.value or row.path == "source.doi" for row in rows)
    assert [row.path for row in rows if not row.meaning] == []
    assert {row.unit for row in rows if row.path.endswith("_seconds")} <= {"s"}


def test_presets_when_imported_load_no_torch():
    code = "import sys, analog_samson.presets.search, analog_samson.presets.describe; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_readme_when_presets_are_shipped_names_every_file():
    text = (HW_PRESETS / "README.md").read_text()
    assert [name for name in BUILT_IN if f"`{name}.toml`" not in text] == []
