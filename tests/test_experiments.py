"""Experiment files, their checks, plans and costs: nothing is trained here."""

import re
from importlib import resources
from pathlib import Path

import pytest

from analog_samson.crossbar.plan import plan_conversion
from analog_samson.data.normalization import NORMALIZATIONS
from analog_samson.errors import CheckpointError, DataError, OptionError
from analog_samson.experiments.catalogue import (
    PACKAGE,
    experiment_names,
    list_experiments,
    load_experiment,
    networks_of,
    parse_experiment,
)
from analog_samson.experiments.cost import count_forwards, estimate_seconds
from analog_samson.experiments.listing import list_text, scale_cost
from analog_samson.experiments.plan import (
    Overrides,
    candidates,
    count_planned,
    plan_candidates,
    plan_cells,
    planned_seeds,
)
from analog_samson.experiments.runner import check_training
from analog_samson.experiments.schema import NoNetworks
from analog_samson.experiments.sources import DATASETS, DataSpecs, Sources, check_sources
from analog_samson.experiments.training_table import TrainingTable
from analog_samson.models.build import build_model
from analog_samson.models.registry import MODELS
from analog_samson.presets.search import load_preset
from analog_samson.runtime.older_python import tomllib
from analog_samson.training import TrainOptions

STUDY = Path(__file__).parents[1] / "benchmarks" / "study" / "study.toml"
PAPER = [*(f"table{n}" for n in range(1, 4)), *(f"fig{n}" for n in range(1, 10))]
TRAINED = [*(e.name for e in list_experiments() if not isinstance(e.networks, NoNetworks)), STUDY]


def mapping(name: str) -> dict:
    return tomllib.loads((resources.files(PACKAGE) / f"{name}.toml").read_text())


def plan(name: str | Path, scale: str, **overrides):
    experiment = load_experiment(name)
    networks = networks_of(experiment)
    chosen = {
        (c.setting.name, c.method): c.chosen for c in plan_candidates(networks, networks.scale(scale), Overrides())
    }
    return plan_cells(networks, networks.scale(scale), Overrides(**overrides), chosen)


def scales(name: str | Path) -> list[str]:
    return list(networks_of(load_experiment(name)).own.scales)


EVERY = [(name, scale) for name in TRAINED for scale in scales(name)]


def test_every_table_and_figure_has_a_file_in_order():
    assert experiment_names()[: len(PAPER)] == PAPER
    assert [e.name for e in list_experiments()] == experiment_names()  # the name is the file's


@pytest.mark.parametrize(("name", "scale"), EVERY)
def test_options_of_every_training_can_be(name, scale):
    cells = plan(name, scale)
    check_training([cell for cell in cells if cell.training])
    assert len({cell.folder for cell in cells}) == len(cells)


def test_training_options_of_a_file_are_those_of_trainings():
    assert set(TrainingTable.model_fields) - {"teacher"} <= set(TrainOptions.model_fields)


@pytest.mark.parametrize("name", TRAINED)
def test_networks_and_presets_named_in_files_exist(name):
    networks = networks_of(load_experiment(name))
    for setting in networks.settings:
        assert setting.network in MODELS or setting.network.startswith("torchvision:")
        assert setting.data == "digits" or setting.data in DATASETS
        assert setting.data == "imagenet" or setting.data in NORMALIZATIONS
    for scale in networks.own.scales.values():
        if scale.evaluation is not None:
            load_preset(scale.evaluation.preset)


@pytest.mark.parametrize(
    ("network", "shape"),
    [("digits_cnn", (1, 8, 8)), ("resnet20", (3, 32, 32)), ("vgg13_bn", (3, 32, 32)), ("densenet40", (3, 32, 32))],
)
def test_multiply_accumulates_stated_are_those_of_the_network(network, shape):
    stated = {s.network: s.gmacs for name in ("table1", "fig2") for s in networks_of(load_experiment(name)).settings}
    counted = plan_conversion(build_model(network), load_preset("ideal"), input_shape=shape).summary().macs
    assert stated[network] == pytest.approx(counted / 1e9, rel=0.005)


def test_paper_numbers_are_complete_and_those_of_the_print():
    counts = {name: len(load_experiment(name).printed) for name in PAPER}
    assert {name: n for name, n in counts.items() if n} == {"table1": 25, "table2": 25, "table3": 10}
    table = {(p.setting, p.method): (p.mean, p.std, p.n) for p in load_experiment("table2").printed}
    assert table["resnet50_cifar100", "samson_inf"] == (77.81, 1.32, 3)
    assert table["vgg13_cifar100", "asam"] == (74.12, 0.01, 3)
    assert all(load_experiment(name).source.numbers == "figure" for name in PAPER if name.startswith("fig"))


def test_printed_tables_agree_with_the_text_of_the_paper(shared):
    """Number by number, in the order in which the tables stand in the text."""
    text = (shared / "paper" / "samson_paper.txt").read_text()
    pairs = [(float(m), float(d)) for m, d in re.findall(r"\$(\d\d\.\d\d)_\{\\pm ?(\d\.\d\d)\}\$", text)]
    assert len(pairs) == 50
    for name, found in (("table1", pairs[:25]), ("table2", pairs[25:])):
        assert [(number.mean, number.std) for number in load_experiment(name).printed] == found
    singles = [float(number) for number in re.findall(r"\b(\d\d\.\d{3})\b", text)]
    assert [number.mean for number in load_experiment("table3").printed] == singles


def test_best_configurations_agree_with_the_text_of_the_paper(shared):
    """rho, c and alpha of Tables 5, 6 and 7 row by row; the text keeps the order of the rows."""
    text = (shared / "paper" / "samson_paper.txt").read_text()
    settings = {s.name: s.chosen.options for s in networks_of(load_experiment("fig2")).settings}
    order = ["sgd_noise", "sgd_clip", "sam", "sam_noise", "sam_clip", "asam", "asam_noise", "asam_clip"]
    order += [f"samson_{p}{what}" for p in ("2", "inf") for what in ("", "_clip", "_noise")]
    ends = [text.index(f"Table {number}: Best hyper") for number in (5, 6, 7)]
    starts = [text.index("METHOD\tBEST"), text.index("Метнор"), text.index("МЕТНОО")]
    names = ("vgg13_cifar10", "mobilenetv2_cifar100", "resnet18_imagenet")
    for start, end, name in zip(starts, ends, names, strict=True):
        rows = [line for line in text[start:end].splitlines()[1:] if "\t" in line]
        assert len(rows) == len(order)
        for method, row in zip(order, rows, strict=True):
            wanted = settings[name][method].given()
            found = dict(re.findall(r"(rho|c|alpha) *= *(?:\\pm *)?([\d.]+)", row.partition("\t")[2]))
            keys = {"rho": "rho", "c": "clip", "alpha": "clip_std"}
            assert {keys[key]: float(value.rstrip(".")) for key, value in found.items()} == wanted


def test_configurations_are_those_of_the_appendix():
    settings = {s.name: s.chosen.options for s in networks_of(load_experiment("fig2")).settings}
    assert settings["vgg13_cifar10"]["sgd_clip"].given() == {"clip": 0.15}
    assert settings["vgg13_cifar10"]["samson_2_noise"].given() == {"rho": 0.1, "clip_std": 2.5}
    assert settings["mobilenetv2_cifar100"]["samson_inf_clip"].given() == {"rho": 1.0, "clip": 0.2}
    assert settings["resnet18_imagenet"]["sam_noise"].given() == {"rho": 0.05, "clip_std": 2.5}
    grids = {m.name: m.grid for m in networks_of(load_experiment("fig2")).methods}
    assert grids["sam"] == {"rho": (0.05, 0.1, 0.2, 0.5)}
    assert grids["asam_clip"] == {"rho": (0.5, 1.0, 1.5, 2.0), "clip": (0.05, 0.1, 0.15, 0.2)}
    for name in ("vgg13_cifar10", "mobilenetv2_cifar100", "resnet18_imagenet"):
        for method, options in settings[name].items():
            assert all(value in grids[method][key] for key, value in options.given().items())


def test_training_settings_are_those_of_section_5():
    cell = next(c for c in plan("table1", "paper") if c.folder.startswith("resnet34_cifar10/asam"))
    wanted = {"epochs": 200, "batch_size": 128, "learning_rate": 0.1, "step_epochs": 50, "step_factor": 0.1, "rho": 0.5}
    assert wanted.items() <= cell.training.items()
    tuned = plan("table3", "paper")[1].training
    assert {"epochs": 10, "batch_size": 400, "learning_rate": 0.001, "weight_decay": 1e-4}.items() <= tuned.items()


def test_all_faults_of_a_file_are_told_at_once():
    faulty = mapping("fig2")
    faulty["networks"]["settings"][0]["gmacs"] = -1
    faulty["networks"]["settings"][1]["training"]["epoch"] = 3
    faulty["networks"]["methods"][0]["passes"] = "two"
    faulty["networks"]["scales"]["mini"]["evaluation"]["times"] = ["1q"]
    del faulty["title"]
    with pytest.raises(OptionError) as caught:
        parse_experiment(faulty, "mine.toml")
    assert str(caught.value).splitlines() == [
        "mine.toml: 5 problems",
        "  title: missing; expected one line of text",
        "  networks.methods[0].passes: expected 0, 1 or 2, got 'two'",
        "  networks.settings[0].gmacs: expected a finite number above 0, got -1",
        "  networks.settings[1].training.epoch: unknown key; did you mean 'epochs' or 'step_epochs' or 'ramp_epochs'?",
        "  networks.scales.mini.evaluation.times[0]: expected a duration such as '1y', got '1q'",
    ]


def test_names_without_a_bearer_are_told_at_once():
    faulty = mapping("table1")
    faulty["networks"]["scales"]["mini"]["methods"] = ["sgd", "samm"]
    faulty["networks"]["settings"][0]["chosen"]["options"]["asem"] = {"rho": 1.0}
    faulty["printed"][0]["setting"] = "resnet43_cifar10"
    faulty["networks"]["settings"].append(faulty["networks"]["settings"][0])
    with pytest.raises(OptionError) as caught:
        parse_experiment(faulty, "mine.toml")
    text = str(caught.value)
    for fault in (
        "networks.settings: the name 'resnet34_cifar10' stands there twice",
        "chosen.options: unknown name 'asem'; did you mean 'asam'",
        "networks.scales.mini.methods: unknown name 'samm'; did you mean 'sam'",
        "printed[0].setting: unknown name 'resnet43_cifar10'; did you mean 'resnet34_cifar10'",
    ):
        assert fault in text


@pytest.mark.parametrize("section", ["shows", "networks", "source", "printed"])
@pytest.mark.parametrize("value", [3, "text", [], {}])
def test_wrong_kind_of_section_is_an_explained_fault(section, value):
    if section == "printed" and value == []:
        return
    with pytest.raises(OptionError, match=section):
        parse_experiment(mapping("table1") | {section: value}, "mine.toml")


def test_unknown_experiment_is_answered_with_a_hint(tmp_path):
    with pytest.raises(OptionError, match="did you mean 'fig3'"):
        load_experiment("figg3")
    with pytest.raises(OptionError, match="no such file"):
        load_experiment(tmp_path / "none.toml")


def test_untrained_network_is_one_cell_whatever_the_seeds():
    cells = [c for c in plan("table3", "mini") if c.folder.startswith("resnet20")]
    assert [c.seed for c in cells if not c.training] == [0]
    assert len(cells) == 1 + 4 * 3


def test_overrides_change_every_cell_and_are_told():
    overrides = Overrides(limit_epochs=1, seeds=(4,), network="digits_cnn", data="npz:x.npz")
    cells = plan("table1", "mini", limit_epochs=1, seeds=(4,), network="digits_cnn", data="npz:x.npz")
    assert {(c.training["epochs"], c.seed, c.network, c.data) for c in cells} == {(1, 4, "digits_cnn", "npz:x.npz")}
    assert "at most 1 epochs a training" in overrides.notes()
    assert Overrides(only="x").notes() == []


def test_impossible_overrides_are_told_at_once():
    with pytest.raises(OptionError) as caught:
        Overrides(limit_epochs=0, limit_images=-1, seeds=(1, 1))
    assert str(caught.value).startswith("reproduce: 3 problems")


def test_candidates_are_the_grid_and_the_study_gives_each_kind_of_method_as_many():
    methods = networks_of(load_experiment(STUDY)).methods
    for family, count in (("plain", 3), ("clipping", 4), ("noise", 4)):
        assert {len(candidates(m)) for m in methods if m.grid and m.family == family} == {count}
    assert candidates(next(m for m in methods if m.name == "sam_clip"))[0] == {"rho": 0.05, "clip": 0.1}


def test_method_like_another_takes_its_choice_and_is_not_tuned():
    networks = networks_of(load_experiment(STUDY))
    scale = networks.scale("mini")
    assert not [c for c in plan_candidates(networks, scale, Overrides()) if "every4" in c.method]
    choices = {("resnet20_cifar10_tuned", "samson_inf_clip"): {"rho": 0.5, "clip": 0.1}}
    planned = plan_cells(networks, scale, Overrides(seeds=(0,)), choices)
    cells = {c.method: c for c in planned if c.setting.name == "resnet20_cifar10_tuned"}
    assert cells["samson_inf_clip_every4"].training == cells["samson_inf_clip"].training | {"ascent_every": 4}
    assert [cells[f"samson_inf_clip{kind}"].gradients for kind in ("", "_half", "_every4", "_every4_half")] == [
        2,
        1.5,
        1.25,
        1.125,
    ]


def test_measures_are_checked():
    faulty = tomllib.loads(STUDY.read_text())
    faulty["shows"]["measures"][0]["method"] = "samsom"
    with pytest.raises(OptionError, match=r"measures\[0\]\.method: expected one of 'sam', .* got 'samsom'"):
        parse_experiment(faulty, "mine.toml")
    faulty["shows"]["measures"][0] |= {"method": "samson", "p": 2.0}
    with pytest.raises(OptionError, match=r"shows\.measures: the name 'SAMSON p=2, rho 0\.5' stands there twice"):
        parse_experiment(faulty, "mine.toml")


def test_measures_that_differ_have_files_and_titles_of_their_own():
    first = load_experiment(STUDY).shows.measures[0]
    others = [{"rho": 0.2}, {"p": 2.0}, {"eta": 0.01}, {"selection": "paper"}, {"method": "asam", "p": None}]
    every = [first, *(first.model_copy(update=change) for change in others)]
    assert len({one.file for one in every}) == len({one.title for one in every}) == len(every)


def test_method_like_another_has_to_name_one_that_is_tuned():
    faulty = tomllib.loads(STUDY.read_text())
    methods = {method["name"]: method for method in faulty["networks"]["methods"]}
    methods["samson_inf_clip_every4"]["like"] = "sgd"
    methods["samson_inf_clip_half"]["grid"] = {"rho": [0.5]}
    faulty["networks"]["scales"]["mini"]["methods"].remove("samson_inf_clip")
    faulty["networks"]["settings"][0]["methods"] = ["sgd", "samson_inf_clip_every4_half"]
    with pytest.raises(OptionError) as caught:
        parse_experiment(faulty, "mine.toml")
    text = str(caught.value)
    for fault in (
        ".like: unknown name 'sgd'",
        ".like: samson_inf_clip_half has a grid of its own; expected one or the other",
        ".like: 'samson_inf_clip' is not among the methods of networks.scales.mini, which tunes it",
        ".like: 'samson_inf_clip' is not among the methods of networks.settings[0], which tunes it",
    ):
        assert fault in text


def test_borrowed_choices_follow_the_setting_they_come_from():
    cells = {c.folder.rpartition("/")[0] for c in plan(STUDY, "mini", seeds=(0,)) if c.training}
    scratch = {name.partition("/")[2] for name in cells if name.startswith("resnet20_cifar10_scratch")}
    tuned = {name.partition("/")[2] for name in cells if name.startswith("resnet20_cifar10_tuned")}
    assert scratch < tuned


def test_setting_can_have_methods_and_seeds_of_its_own():
    cells = [c for c in plan(STUDY, "mini") if c.setting.name == "resnet20_cifar10_scratch"]
    names = ["sgd", "sam", "samson_inf", "sgd_clip", "samson_inf_clip", "sgd_noise"]
    assert [(c.method, c.seed) for c in cells] == [(name, seed) for name in names for seed in range(3)]
    fewer = cells[0].setting.model_copy(update={"seeds": 1})
    networks = networks_of(load_experiment(STUDY))
    (sam,) = [method for method in networks.methods if method.name == "sam"]
    assert planned_seeds(fewer, sam, networks.scale("mini"), Overrides()) == (0,)
    again = [c for c in plan(STUDY, "mini") if c.setting.name == "resnet32_cifar10_tuned"]
    seeds = [(method, seed) for method in ("sgd_clip", "samson_inf_clip") for seed in range(3)]
    assert [(c.method, c.seed) for c in again] == [("original", 0), *seeds]
    assert {c.seed for c in plan(STUDY, "mini", seeds=(7,)) if c.training and c.method != "pretraining"} == {7}


def test_recipe_is_left_one_ingredient_at_a_time():
    cells = {c.method: c for c in plan(STUDY, "mini") if c.setting.name == "resnet20_cifar10_recipe"}
    full = cells.pop("recipe")
    assert cells.pop("original").training == {}
    missing = {name: {*full.training} - {*cell.training} for name, cell in cells.items()}
    assert missing == {
        "recipe_no_climb": {"rho", "p", "ascent_every", "selection"},
        "recipe_no_clip": {"clip"},
        "recipe_no_noise": {"noise_sigma_c"},
        "recipe_no_ema": {"ema_decay"},
        "recipe_no_teacher": {"distill_weight", "distill_temperature"},
    }
    for name, cell in cells.items():
        assert cell.training.items() <= (full.training | {"method": cell.training["method"]}).items()
        assert cell.distill == (name != "recipe_no_teacher")
    assert [name for name, cell in cells.items() if cell.training["method"] != "samson"] == ["recipe_no_climb"]


def test_only_takes_parts_of_names_and_whole_methods_and_several_of_them():
    networks = networks_of(load_experiment(STUDY))
    found = plan_candidates(networks, networks.scale("mini"), Overrides())

    def methods(only):
        return {cell.method for cell in found if cell.is_named(only)}

    assert methods("tuned/samson_inf_clip") == {
        "samson_inf_clip",
        "samson_inf_clip_paper",
        "samson_inf_clip_reference",
    }
    assert methods("tuned/samson_inf_clip/,tuned/sgd_clip/") == {"samson_inf_clip", "sgd_clip"}
    assert methods("") == {cell.method for cell in found}


def test_candidate_trains_and_is_scored_on_fewer_images_where_its_setting_says_so():
    networks = networks_of(load_experiment(STUDY))
    found = plan_candidates(networks, networks.scale("mini"), Overrides())
    seen = {(c.setting.name, c.training["epochs"], c.sample, c.scored) for c in found}
    assert seen == {
        ("digits_cnn_digits", 10, None, None),
        ("resnet20_cifar10_tuned", 1, 20000, 1000),
        ("resnet32_cifar10_tuned", 1, 20000, 1000),
    }
    shortest = plan_candidates(networks, networks.scale("mini"), Overrides(limit_epochs=1))
    assert {c.training["epochs"] for c in shortest} == {1}


def test_teacher_is_the_start_of_the_cell_and_no_fresh_weights():
    teaching = tomllib.loads(STUDY.read_text())
    teaching["networks"]["methods"][1]["options"] |= {"teacher": "start", "distill_weight": 0.5}
    with pytest.raises(OptionError, match=r"options\.teacher: resnet20_cifar10_scratch begins with fresh weights"):
        parse_experiment(teaching, "mine.toml")
    teaching["networks"]["settings"].pop()
    teaching["networks"]["scales"]["mini"]["settings"].pop()
    networks = networks_of(parse_experiment(teaching, "mine.toml"))
    cells = plan_cells(networks, networks.scale("mini"), Overrides(seeds=(0,)), {})
    assert {c.method for c in cells if c.distill and c.setting.name == "digits_cnn_digits"} == {"sgd"}
    (sgd,) = (c for c in cells if c.distill and c.setting.name == "digits_cnn_digits")
    assert sgd.training["distill_weight"] == 0.5
    assert "teacher" not in sgd.training


def test_cost_of_the_paper_scale_is_that_of_its_model():
    experiment = load_experiment("table3")
    networks = networks_of(experiment)
    scale = networks.scale("paper")
    (cell,) = [c for c in plan_cells(networks, scale, Overrides(), {}) if c.method == "sam"]
    cost, images, gmacs = scale.cost, 1281167, 1.814
    step = images * 3 * gmacs / cost.training_gmacs_per_second + 3203 * cost.seconds_per_step
    test = 50000 * gmacs / cost.evaluation_gmacs_per_second
    assert estimate_seconds([cell], scale, experiment.shows) == pytest.approx(10 * (2 * step + test) + test)


def test_forwards_under_noise_count_chips_states_and_calibration():
    evaluation = networks_of(load_experiment("fig2")).scale("mini").evaluation
    # (5 chips x (4 noisy sigmas + 1 time) + 1 quiet) x 2 states + the digital network, and 1,000 images for each AdaBS
    assert count_forwards(evaluation, 5, 10000) == (1 + 2 * 26) * 2000 + 26 * 1000


def test_list_shows_every_name_and_the_machine_of_its_estimates():
    text = list_text()
    assert all(name in text for name in experiment_names())
    assert "assumed, not measured" in text
    count, seconds = scale_cost(load_experiment("fig3"), "mini")
    assert (count, seconds > scale_cost(load_experiment("fig2"), "mini")[1]) == (30, True)
    networks = networks_of(load_experiment("fig3"))
    assert count == count_planned(networks, networks.scale("mini"), Overrides())


def test_data_is_found_in_a_root_and_in_a_folder_of_its_own(tmp_path):
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for name in DATASETS["cifar10"].holds:
        (folder / name).touch()
    for sources in (Sources(data_root=tmp_path), Sources(given={"cifar10": str(folder)})):
        assert sources.data("cifar10") == DataSpecs(train=f"cifar10:{tmp_path}", test=f"cifar10:{tmp_path}")
    for part in ("train", "test"):
        (tmp_path / f"cifar100_{part}.npz").touch()
    found = Sources(data_root=tmp_path).data("cifar100")
    assert found == DataSpecs(train=f"npz:{tmp_path}/cifar100_train.npz", test=f"npz:{tmp_path}/cifar100_test.npz")
    both = Sources(given={"cifar10": "npz:a.npz"}, given_test={"cifar10": "npz:b.npz"})
    assert both.data("cifar10") == DataSpecs(train="npz:a.npz", test="npz:b.npz")


def test_missing_data_and_checkpoints_say_where_to_get_them(tmp_path):
    with pytest.raises(DataError) as caught:
        Sources(data_root=tmp_path).data("cifar100")
    for part in ("cifar-100-python", "https://www.cs.toronto.edu", "cifar100_train.npz", "--only digits"):
        assert part in str(caught.value)
    with pytest.raises(CheckpointError, match="akamaster"):
        Sources().checkpoint("resnet20-12fca82f.th", "https://github.com/akamaster/pytorch_resnet_cifar10")
    with pytest.raises(DataError, match="reproduce: 2 problems"):
        check_sources(plan("table3", "mini"), Sources())
