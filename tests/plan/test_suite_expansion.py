"""From a suite to its runs: grid, zip, per_method, exclude, seeds, `--set` and `--only`."""

import re
from pathlib import Path

import pytest

from eibench.errors import BadSuite, UserError
from eibench.plan import Override, find_suite, load_plan, read_suite, select
from eibench.plan.find import known_suites, shipped_folder, suite_files
from eibench.plan.read_search import load_search

NORMS = ["batchnorm", {"name": "batchnorm", "stats": "per_step"}]


@pytest.fixture
def plan(project):
    """`plan("train.lr=1", ..., grid={...})`: settings, and changes to the tiny suite."""

    def load(*settings, **changes):
        overrides = [Override.read("--set", text) for text in settings]
        return load_plan(project.suite(**changes), overrides)

    return load


def table(plan, *fields):
    """These fields of every run, in order; a tuple for several."""
    rows = [tuple(run.spec.fields().get(f) for f in fields) for run in plan.runs]
    return [row[0] for row in rows] if len(fields) == 1 else rows


# ---------------------------------------------------------------------------- the suite


def test_base_alone_is_one_run(plan):
    made = plan(grid={})
    assert table(made, "method", "model.depth", "seed") == [("ei", 2, 0)]


def test_without_seeds_there_is_one_run_of_seed_0(project):
    text = "name: a\ntitle: b\nbase: {method: ei, model: plain, data: digits}\n"
    assert table(load_plan(project.write(text), []), "seed") == [0]


def test_grid_is_every_combination(plan):
    made = plan(grid={"method": ["ei", "tdbn"], "model.depth": [1, 2, 3]})
    expected = [(m, d) for m in ("ei", "tdbn") for d in (1, 2, 3)]
    assert table(made, "method", "model.depth") == expected


def test_the_rest_of_base_stays(plan):
    made = plan(grid={"model.depth": [3, 4]})
    assert table(made, "model.width", "model.pools", "train.epochs") == [(4, 1, 1)] * 2


def test_an_axis_may_be_absent_from_base(plan):
    assert table(plan(grid={"neuron.tau": [1.5, 3]}), "neuron.tau") == [1.5, 3.0]


def test_an_axis_of_mappings_merges(plan):
    made = plan(grid={"train": [{"lr": 0.5}, {"lr": 0.2, "momentum": 0}]})
    expected = [(0.5, 0.9, 1), (0.2, 0.0, 1)]
    assert table(made, "train.lr", "train.momentum", "train.epochs") == expected


def test_an_axis_of_names_replaces_the_options(plan):
    """Another model does not inherit the depth of the one in base."""
    made = plan(grid={"model": ["vgg", {"name": "vgg", "depth": 11}, "plain"]})
    assert table(made, "model", "model.depth") == [("vgg", 8), ("vgg", 11), ("plain", 8)]


@pytest.mark.parametrize("reverse", [False, True])
def test_a_choice_and_its_option_may_both_be_axes(plan, reverse):
    """The choice comes first, in whatever order they are written."""
    axes = {"model": ["plain", "vgg"], "model.depth": [8, 11]}
    made = plan(grid=dict(reversed(axes.items())) if reverse else axes)
    runs = {("plain", 8), ("plain", 11), ("vgg", 8), ("vgg", 11)}
    assert set(table(made, "model", "model.depth")) == runs


def test_zip_goes_side_by_side(plan):
    made = plan(grid={}, zip={"model.depth": [1, 2, 3], "train.lr": [0.3, 0.2, 0.1]})
    assert table(made, "model.depth", "train.lr") == [(1, 0.3), (2, 0.2), (3, 0.1)]


def test_a_value_may_stand_twice_in_a_list_of_zip(plan):
    """The rows differ: (2, 0.3), (2, 0.1)."""
    made = plan(grid={}, zip={"model.depth": [2, 2, 4], "train.lr": [0.3, 0.1, 0.3]})
    assert table(made, "model.depth", "train.lr") == [(2, 0.3), (2, 0.1), (4, 0.3)]


def test_grid_under_every_row_of_zip(plan):
    made = plan(zip={"train.lr": [0.3, 0.2], "model.width": [4, 8]}, grid={"model.depth": [1, 2]})
    expected = [(0.3, 4, 1), (0.3, 4, 2), (0.2, 8, 1), (0.2, 8, 2)]
    assert table(made, "train.lr", "model.width", "model.depth") == expected


def test_axes_of_the_plan(plan):
    made = plan(zip={"train.lr": [0.3], "model.width": [4]}, grid={"method": ["ei"]})
    assert sorted(made.axes) == ["method", "model.width", "train.lr"]


def test_per_method_by_name_reaches_every_variant(plan):
    made = plan(grid={"method": ["ei", *NORMS]}, per_method={"batchnorm": {"train.lr": 0.5}})
    expected = [("ei", 0.1), ("batchnorm", 0.5), ("batchnorm-per_step", 0.5)]
    assert table(made, "method", "train.lr") == expected


def test_per_method_by_label_reaches_one(plan):
    overrides = {"batchnorm-per_step": {"train.lr": 0.5}}
    made = plan(grid={"method": NORMS}, per_method=overrides)
    assert table(made, "train.lr") == [0.1, 0.5]


@pytest.mark.parametrize(("overrides", "note"), [
    (
        {"batchnorm": {"train.lr": 0.5, "train.momentum": 0}},
        "per_method batchnorm sets train.lr, train.momentum of batchnorm-per_step too",
    ),
    ({"batchnorm": {"train.lr": 0.5}, "batchnorm-per_step": {"train.lr": 0.2}}, None),
    ({"batchnorm-per_step": {"train.lr": 0.5}}, None),
])  # fmt: skip
def test_a_value_for_a_label_that_reaches_others_by_its_name_is_noted(plan, overrides, note):
    made = plan(grid={"method": NORMS}, per_method=overrides)
    assert made.notes == ((note,) if note else ())


def test_a_name_that_is_no_label_is_meant_for_all(plan):
    blanket, wide = {"name": "ei", "preset": "blanket"}, {"name": "ei", "ei_ratio": 2}
    assert plan(grid={"method": [blanket, wide]}, per_method={"ei": {"train.lr": 0.5}}).notes == ()


@pytest.mark.parametrize("reverse", [False, True])
def test_the_label_wins_over_the_name(plan, reverse):
    overrides = {
        "batchnorm": {"train.lr": 0.5, "train.momentum": 0.0},
        "batchnorm-per_step": {"train.lr": 0.2},
    }
    overrides = dict(reversed(overrides.items())) if reverse else overrides
    made = plan(grid={"method": NORMS}, per_method=overrides)
    assert table(made, "train.lr", "train.momentum") == [(0.5, 0.0), (0.2, 0.0)]


def test_per_method_may_nest(plan):
    made = plan(per_method={"ei": {"train": {"lr": 0.5, "momentum": 0}, "method.ei_ratio": 2}})
    expected = [(0.5, 0.0, "ei-ei_ratio2", 1)] * 2
    assert table(made, "train.lr", "train.momentum", "method", "train.epochs") == expected


def test_per_method_leaves_other_methods_alone(plan):
    made = plan(grid={"method": ["ei", "tdbn"]}, per_method={"ei": {"model.width": 7}})
    assert table(made, "method", "model.width") == [("ei", 7), ("tdbn", 4)]


def test_exclude(plan):
    made = plan(
        grid={"method": ["ei", *NORMS], "model.depth": [1, 2, 3]},
        exclude=[
            {"method": "ei", "model.depth": [2, 3]},  # both, and either of the two
            {"method": "batchnorm", "model.depth": 1},  # the plain one alone
            {"method": "batchnorm-per_step", "model.depth": [1, 3]},
        ],
    )
    expected = [("ei", 1), ("batchnorm", 2), ("batchnorm", 3), ("batchnorm-per_step", 2)]
    assert table(made, "method", "model.depth") == expected


def test_exclude_reads_what_per_method_set(plan):
    made = plan(
        grid={"method": ["ei", "tdbn"]},
        per_method={"ei": {"train.clip_norm": None}},
        exclude=[{"train.clip_norm": None}],
    )
    assert table(made, "method") == ["tdbn"]


@pytest.mark.parametrize("seed", [0, 1])
def test_exclude_by_seed_works_or_is_refused(plan, seed):
    """`--only` knows the seed as a field; exclude must not take it for that of all runs."""
    try:
        made = table(
            plan(seeds=[0, 1], exclude=[{"seed": seed, "model.depth": 2}]), "seed", "model.depth"
        )
    except BadSuite as error:
        made = re.findall(r"exclude\[0\]\.seed", str(error))
    works = [(s, d) for s in (0, 1) for d in (1, 2) if (s, d) != (seed, 2)]
    assert made in (works, ["exclude[0].seed"])


def test_seeds_of_the_command_line_replace_those_of_the_suite(project):
    made = load_plan(project.suite(seeds=[0, 1]), [], [7, 5])
    assert table(made, "seed", "model.depth") == [(7, 1), (7, 2), (5, 1), (5, 2)]


def test_seeds_are_outermost(plan):
    made = plan(seeds=[5, 3], grid={"method": ["ei", "tdbn"]})
    assert table(made, "seed", "method") == [(5, "ei"), (5, "tdbn"), (3, "ei"), (3, "tdbn")]


def test_every_run_knows_its_id(plan):
    made = plan(grid={"method": ["ei", *NORMS]})
    assert [run.run_id for run in made.runs] == [run.spec.run_id for run in made.runs]
    assert len({run.run_id for run in made.runs}) == 3


def test_what_the_plan_keeps_of_the_suite(plan):
    made = plan(name="a.b-c_d1", title="Some: title", tuned_by="lr_search")
    assert (made.name, made.title, made.tuned_by) == ("a.b-c_d1", "Some: title", "lr_search")


def test_a_thousand_runs_are_planned_at_once(plan):
    made = plan(
        grid={"model.depth": list(range(1, 33)), "model.width": list(range(1, 32))},
        exclude=[{"model.depth": list(range(2, 17))}],
    )
    assert len(made.runs) == 17 * 31


def test_suites_of_the_repository_are_valid():
    folder = Path(__file__).parents[2] / "suites"
    paths = suite_files(folder)
    assert paths
    for path in paths:
        searches = read_suite(path)[1].search is not None
        made = load_search(path, []).base_plan() if searches else load_plan(path, [])
        assert made.name == path.stem
        assert made.tuned_by is None or (folder / f"{made.tuned_by}.yaml").exists()


# --------------------------------------------------------------------------------- --set


def test_set_replaces_a_value_of_base(plan):
    assert table(plan("train.epochs=7"), "train.epochs") == [7, 7]


def test_set_replaces_an_axis(plan):
    made = plan("model.depth=5")
    assert table(made, "model.depth") == [5]
    assert made.axes == ()


def test_set_replaces_a_list_of_zip(plan):
    lists = {"model.width": [4, 8], "train.lr": [0.3, 0.2]}
    made = plan("model.width=6", grid={}, zip=lists)
    assert table(made, "model.width", "train.lr") == [(6, 0.3), (6, 0.2)]
    assert made.axes == ("train.lr",)
    assert table(plan("model.width=6", grid={}, zip={"model.width": [4, 8]}), "model.width") == [6]


@pytest.mark.parametrize(
    ("setting", "field", "value"),
    [
        ("model={name: plain, depth: 3}", "model.depth", 3),
        ("model=vgg", "model.depth", 8),
        ("model={depth: 3}", "model.depth", 3),
    ],
)
def test_set_replaces_axes_within_what_it_sets(plan, setting, field, value):
    """The axis is `model.depth`; under another model it would plan the same run twice."""
    made = plan(setting)
    assert table(made, field) == [value]
    assert made.axes == ()


def test_set_leaves_axes_beside_what_it_sets(plan):
    made = plan("train={momentum: 0}", grid={"train.lr": [0.1, 0.2]})
    assert table(made, "train.lr", "train.momentum") == [(0.1, 0.0), (0.2, 0.0)]


def test_set_overrides_per_method(plan):
    made = plan("train.lr=0.5", per_method={"ei": {"train.lr": 0.2, "train.momentum": 0}})
    assert table(made, "train.lr", "train.momentum") == [(0.5, 0.0)] * 2


@pytest.mark.parametrize(
    ("setting", "label"),
    [
        ("method=tdbn", "tdbn"),
        ("method={name: batchnorm, stats: per_step}", "batchnorm-per_step"),
        ("method.ei_ratio=2", "ei-ei_ratio2"),
        ("method={ei_ratio: 2}", "ei-ei_ratio2"),
    ],
)
def test_set_chooses_the_method(plan, setting, label):
    assert table(plan(setting), "method") == [label] * 2


def test_per_method_is_that_of_the_method_set(plan):
    """`--set method=...` brings the rate of the method that it chooses."""
    grid = {"method": ["ei", "tdbn"]}
    rates = {"ei": {"train.lr": 0.3}, "tdbn": {"train.lr": 0.7}}
    made = plan("method=tdbn", grid=grid, per_method=rates)
    assert table(made, "method", "train.lr") == [("tdbn", 0.7)]


def test_the_value_of_set_is_yaml(plan):
    made = plan("train.lr=1e-3", "train.clip_norm=null", "train.schedule='constant'")
    (row, _) = table(made, "train.lr", "train.clip_norm", "train.schedule")
    assert row == (0.001, None, "constant")


def test_the_last_set_of_a_key_counts(plan):
    assert table(plan("train.lr=0.3", "train.lr=0.4"), "train.lr") == [0.4, 0.4]


def test_under_set_an_idle_part_of_the_suite_is_fine(plan):
    """`--set method=ei` leaves no run for another method's overrides or exclusions."""
    grid = {"method": ["ei", "tdbn"], "model.depth": [1, 2]}
    rates = {"tdbn": {"train.lr": 0.2}}
    made = plan("method=ei", grid=grid, per_method=rates, exclude=[{"method": "tdbn"}])
    assert table(made, "method", "model.depth") == [("ei", 1), ("ei", 2)]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("train.lr", "--set train.lr: must be KEY=VALUE"),
        ("=3", "--set =3: must be KEY=VALUE"),
        ("", "must be KEY=VALUE"),
        ("train.epoch=3", "--set train.epoch=3: unknown key;"),
        ("train.epoch=3", "did you mean 'epochs'?"),
        ("trian=3", "--set trian=3: unknown key;"),
        ("trian.lr=3", "--set trian.lr=3: "),
        ("train.lr.x=3", "--set train.lr.x=3: "),
        ("train..lr=3", "--set train..lr=3: "),
        ("base.train.lr=3", "--set base.train.lr=3: "),
        ("seeds=[1]", "--set seeds=[1]: unknown key;"),
        ("name=other", "--set name=other: unknown key;"),
        ("train.lr=", "--set train.lr=: must be a number, not nothing"),
        ("train.lr=fast", "--set train.lr=fast: must be a number, not 'fast'"),
        ("train.lr=[1", "not valid YAML"),
        ("train.lr=*a", "anchors and aliases"),
        ("train.lr=!!float 1", "tags such as"),
        ("method=eii", "--set method=eii: unknown method 'eii'"),
        ("method=eii", "did you mean 'ei'?"),
        (
            "model={name: vgg, depth: 9}",
            "--set model={name: vgg, depth: 9}: depth: must be 8, 11, 16 or 19",
        ),
        ("model.pools=9", "pools (9) cannot exceed depth (1)"),
        ("seed=5", "--set seed=5"),
    ],
)
def test_bad_settings(plan, setting, message):
    with pytest.raises(UserError) as caught:
        plan(setting)
    assert message in str(caught.value)


# -------------------------------------------------------------------------------- --only


@pytest.fixture
def only(plan):
    """Method and depth of the runs that `--only` leaves."""

    def pick(*filters):
        made = plan(grid={"method": ["ei", *NORMS], "model.depth": [1, 2]}, seeds=[0, 3])
        chosen = select(made, [Override.read("--only", text) for text in filters])
        assert set(chosen) <= set(made.runs)
        return [
            tuple(r.spec.fields()[f] for f in ("method", "model.depth", "seed")) for r in chosen
        ]

    return pick


def test_without_only_all_runs_are_chosen(only):
    assert len(only()) == 12


def test_only_a_method_takes_the_plain_one_where_there_is_one(only):
    assert {method for method, *_ in only("method=batchnorm")} == {"batchnorm"}
    assert len(only("method=batchnorm")) == 4


def test_only_a_name_that_is_no_label_takes_all_variants(plan):
    variants = [{"name": "batchnorm", "stats": "per_step"}, {"name": "batchnorm", "scale": 0.6}]
    made = plan(grid={"method": ["ei", *variants]}, seeds=[0])
    kept = select(made, [Override.read("--only", "method=batchnorm")])
    assert [run.method for run in kept] == ["batchnorm-per_step", "batchnorm-scale0.6"]
    kept = select(made, [Override.read("--only", "method=ei,batchnorm-scale0.6")])
    assert [run.method for run in kept] == ["ei", "batchnorm-scale0.6"]


def test_only_a_method_by_label_takes_one(only):
    assert {method for method, *_ in only("method=batchnorm-per_step")} == {"batchnorm-per_step"}


def test_only_several_values_are_either(only):
    assert {m for m, *_ in only("method=ei,batchnorm-per_step")} == {"ei", "batchnorm-per_step"}
    assert len(only("model.depth=1,2")) == 12


def test_only_twice_is_both(only):
    assert only("method=ei", "seed=3") == [("ei", 1, 3), ("ei", 2, 3)]


@pytest.mark.parametrize("text", ["train.lr=1e-1", "train.lr=0.10", "train.momentum= 0.9 "])
def test_only_compares_numbers_as_numbers(only, text):
    assert len(only(text)) == 12


def test_only_by_a_field_that_some_runs_lack(only):
    assert {method for method, *_ in only("method.ei_ratio=4")} == {"ei"}


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        (["methods=ei"], "--only methods=ei: unknown key; did you mean 'method'?"),
        (["depth=1"], "--only depth=1: unknown key"),
        (["method=tdbn"], "--only method=tdbn: no run has 'tdbn'; allowed: ei, batchnorm, batch"),
        (["method=batchnrm"], "did you mean 'batchnorm'?"),
        (["model.depth=7"], "--only model.depth=7: no run has 7; allowed: 1, 2"),
        (["model.depth=1,7"], "no run has 7"),
        (["model.depth='1'"], "no run has '1'"),
        (["model.depth="], "no run has None"),
        (["method=ei", "method=batchnorm"], "--only method=ei --only method=batchnorm: no run"),
        (["method"], "--only method: must be KEY=VALUE"),
        (["model.depth=[1"], "not valid YAML"),
    ],
)
def test_bad_filters(only, filters, message):
    with pytest.raises(UserError) as caught:
        only(*filters)
    assert message in str(caught.value)


# ------------------------------------------------------------------------ finding a suite


def test_a_suite_is_found_by_path_or_by_name(project):
    path = project.suite("suites/depth.yaml")
    other = project.suite("suites/lr.yml")
    assert find_suite("suites/depth.yaml") == find_suite("depth") == path
    assert find_suite("lr") == other
    assert find_suite("elsewhere/depth.yaml") == Path("elsewhere/depth.yaml")


def test_an_unknown_suite_name_suggests_the_nearest(project):
    project.suite("suites/depth_scaling.yaml")
    project.write("", "suites/README.md")
    with pytest.raises(UserError, match=r"^zzz: no such suite or file; `eibench list"):
        find_suite("zzz")
    with pytest.raises(UserError, match=r"; did you mean 'depth_scaling'\?$"):
        find_suite("depth_scalin")


def test_without_a_folder_of_suites_there_are_those_of_eibench():
    assert find_suite("quickstart") == shipped_folder() / "quickstart.yaml"
    with pytest.raises(UserError, match=r"; did you mean 'depth_scaling'\?$"):
        find_suite("depth_scalin")
    with pytest.raises(UserError, match=r"quickstart.yaml: no such file; 'quickstart' is"):
        find_suite("suites/quickstart.yaml")


def test_a_local_suite_goes_before_the_one_of_eibench(project):
    path = project.suite("suites/quickstart.yaml")
    assert find_suite("quickstart") == known_suites()["quickstart"] == path
    assert next(iter(known_suites())) == "quickstart"
    assert known_suites().keys() == {p.stem for p in suite_files(shipped_folder())}
