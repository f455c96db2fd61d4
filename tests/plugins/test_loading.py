"""Plugins: found, loaded and refused; their traces in a run's identity and files."""

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from eibench.plan import load_plan
from eibench.plan.options import CHOICES
from eibench.plan.plugins import load_plugin

NORM = "my_norm.py"
ADD = "add_method(RMSNormOptions, RMSNorm)"
SUITE = "mine.yaml"


def run_ids(path=SUITE):
    return {run.spec.method.name: run.run_id for run in load_plan(Path(path), []).runs}


def fresh(code):
    """`code` in a new interpreter, as each command is."""
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout


# -------------------------------------------------------------------------- what is refused

BROKEN = {
    "a syntax error": (["eps: float", "eps float"], "broken.py:18: SyntaxError: invalid syntax"),
    "a missing module": (
        ["import torch\n", "import torch\nimport nowhere\n"],
        "broken.py:6: ModuleNotFoundError: No module named 'nowhere'",
    ),
    "sys.exit": ([ADD, "raise SystemExit(0)"], "broken.py:39: SystemExit: 0"),
    "several lines of text": ([ADD, 'raise ValueError("a\\nb")'], "broken.py:39: ValueError: a b"),
    "a name that is taken": (
        ['name = "rmsnorm"', 'name = "tdbn"'],
        "broken.py:39: method 'tdbn' exists already, in eibench itself; choose another name",
    ),
    "no name": (
        ['    name = "rmsnorm"\n', ""],
        'broken.py:38: RMSNormOptions needs a line such as `name = "my_method"`: letters, digits '
        "and `_`, without a type",
    ),
    "a name with a type": (['name = "', 'name: str = "'], "without a type"),
    "a name with a space": (['"rmsnorm"', '"rms norm"'], "letters, digits and `_`"),
    "no docstring": (
        ['    """Root mean square norm of each sample at each step."""\n', ""],
        "RMSNormOptions needs a docstring: `eibench list` shows its first line",
    ),
    "options that the constructor lacks": (
        ["gt=0)\n", "gt=0)\n    gain: float = 1.0\n"],
        "RMSNormOptions has the option `gain`, which RMSNorm does not take; does it have "
        "@dataclass(frozen=True, kw_only=True)?",
    ),
    "arguments that the options lack": (
        ["class RMSNorm(Normalized):\n", "class RMSNorm(Normalized):\n    gain: float\n"],
        "RMSNorm takes `gain`, which is not an option of RMSNormOptions",
    ),
    "a field that is taken": (
        ["eps: float", "label: float"],
        "RMSNormOptions: `label` is taken, call this option something else",
    ),
    "an abstract method": (["    def norm(", "    def nrom("], "broken.py:39: RMSNorm lacks norm"),
    "not a method": (["RMSNorm)", "RMSNorm2d)"], "RMSNorm2d must be a subclass of eibench.methods"),
    "no options": (
        ["add_method(RMSNormOptions", "add_method(RMSNorm"],
        "RMSNorm must be a subclass of eibench.plan.options.MethodOptions",
    ),
}


@pytest.mark.filterwarnings("ignore:Field name:UserWarning")
@pytest.mark.parametrize("why", BROKEN)
def test_a_plugin_that_does_not_load(cli, project, broken, why):
    changes, words = BROKEN[why]
    broken(NORM, *changes)
    before = {kind: list(registry) for kind, registry in CHOICES.items()}
    files = project.files()
    checked = cli("check", "broken.py")
    assert (checked.code, checked.out) == (2, "")
    (line,) = checked.errors
    assert words in line
    project.suite(plugins=["broken.py"])
    run = cli("run", "tiny.yaml")
    assert (run.code, run.out) == (2, "")
    (line,) = run.errors
    number = 1 + Path("tiny.yaml").read_text().splitlines().index("- broken.py")
    assert line.startswith(f"tiny.yaml:{number}: plugins[0]: ") and words in line
    assert {kind: list(registry) for kind, registry in CHOICES.items()} == before
    assert project.files().keys() == files.keys() | {"tiny.yaml"}


def test_a_failure_after_a_registration_takes_it_back(broken):
    from eibench.errors import UserError

    path = broken(NORM, ADD, f"{ADD}\n1 / 0")
    with pytest.raises(UserError, match=r"broken.py:40: ZeroDivisionError: division by zero"):
        load_plugin(str(path))
    assert "rmsnorm" not in CHOICES["method"]


def test_a_method_may_take_its_options_as_one_object(broken):
    """As eibench's own do; then no option is written twice."""
    whole = ["Normalized):\n    eps: float", "Normalized):\n    options: RMSNormOptions"]
    load_plugin(str(broken(NORM, *whole, "channels, self.eps)", "channels, self.options.eps)")))
    options = CHOICES["method"]["rmsnorm"](eps=0.5)
    method = CHOICES["method"].build(options, lif={}, timesteps=1)
    assert (method.options, method.norm(3, 1).eps) == (options, 0.5)


def test_options_are_taken_as_one_object_or_one_by_one(broken):
    from eibench.errors import UserError

    both = broken(NORM, "Normalized):\n", "Normalized):\n    options: RMSNormOptions\n")
    with pytest.raises(UserError, match="RMSNorm takes `eps`, which is not an option of"):
        load_plugin(str(both))


def test_models_and_data_are_held_to_their_arguments(cli, broken):
    changed = broken(
        "my_model.py", "    method: Method, image", "    image: object, method", to="a.py"
    )
    changed.write_text(
        changed.read_text().replace("tuple[int, int, int], classes", "object, classes")
    )
    assert "the first arguments must be method, image, classes" in cli("check", "a.py").errors[0]
    broken("my_data.py", "def stripes(noise: float)", "def stripes(noises: float)", to="b.py")
    assert "has the option `noise`, which stripes does not take" in cli("check", "b.py").errors[0]
    broken("my_data.py", "StripesOptions, stripes)", "StripesOptions, 3)", to="c.py")
    assert "3 must be a function" in cli("check", "c.py").errors[0]


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("my_nrom.py", "my_nrom.py: no such file; did you mean 'my_norm.py'?"),
        ("no/where.py", "no/where.py: no such file"),
        ("lab_nroms", "unknown plugin 'lab_nroms'; a file's name ends in .py; installed plugins: "),
    ],
)
def test_a_plugin_that_is_not_there(cli, tutorial, entry, words):
    done = cli("check", entry)
    assert done.code == 2
    assert done.errors[0].startswith(words)


def test_a_folder_and_a_plugin_that_adds_nothing(cli, project):
    Path("folder.py").mkdir()
    assert cli("check", "folder.py").errors == ["folder.py: cannot be read: Is a directory"]
    project.write("x = 1\n", "empty.py")
    assert cli("check", "empty.py").errors == [
        "empty.py: adds nothing; call add_method, add_model or add_dataset"
    ]


def test_the_wrong_kind_of_list(cli, project):
    project.suite(plugins="my_norm.py")
    assert cli("run", "tiny.yaml").errors == [
        "tiny.yaml:21: plugins: must be a list, not 'my_norm.py'"
    ]


def test_code_that_fails_when_a_network_is_built(cli, project, broken):
    broken(NORM, "        return RMSNorm2d(", "        return RMSNrom2d(")
    project.suite(plugins=["broken.py"], base={"method": "rmsnorm"})
    for words in ([], ["--dry-run"]):
        done = cli("run", "tiny.yaml", *words)
        assert done.code == 2
        (line,) = done.errors
        assert line.startswith("broken.py:36: NameError: name 'RMSNrom2d' is not defined")
        assert line.endswith("; `eibench check` tests a plugin alone")
    assert not Path("results").exists()


# ------------------------------------------------------------------------------ where it is


def test_the_path_is_relative_to_the_suite(project, tutorial):
    project.write(tutorial[NORM], "sub/own.py")
    project.suite("sub/s.yaml", plugins=["own.py"], base={"method": "rmsnorm"})
    (plugin,) = load_plan(Path("sub/s.yaml"), []).plugins
    assert str(plugin) == "sub/own.py (method rmsnorm)"


def test_loading_twice_is_harmless(tutorial):
    assert load_plugin(NORM) is load_plugin(NORM)
    assert str(load_plugin(NORM)) == "my_norm.py (method rmsnorm)"
    load_plan(Path(SUITE), [])
    load_plan(Path(SUITE), [])


def test_an_edited_plugin_in_one_process_is_refused(cli, broken, tutorial):
    load_plugin(NORM)
    broken(NORM, "gt=0", "ge=0", to=NORM)
    (line,) = cli("check", NORM).errors
    assert "method 'rmsnorm' exists already, from my_norm.py (sha256 " in line
    assert line.endswith("it was edited; restart Python")


def test_options_of_two_plugins_may_share_a_class_name(broken, tutorial):
    load_plugin(NORM)
    load_plugin(str(broken(NORM, '"rmsnorm"', '"other"')))
    both = [CHOICES["method"][name]() for name in ("rmsnorm", "other")]
    assert both[0] != both[1]
    assert len({repr(options) for options in both}) == 2


# --------------------------------------------------------------------------------- identity


def test_an_edit_changes_the_ids_of_the_plugins_runs_alone(tutorial, forget):
    before = run_ids()
    forget()
    assert run_ids() == before
    forget()
    with Path(NORM).open("a") as file:
        file.write("# a word\n")
    after = run_ids()
    assert after.keys() == before.keys() == {"rmsnorm", "batchnorm"}
    assert after["rmsnorm"] != before["rmsnorm"]
    assert after["batchnorm"] == before["batchnorm"]


def test_a_file_may_move_and_be_renamed(project, tutorial, forget):
    before = run_ids()
    forget()
    project.write(tutorial[NORM], "sub/else.py")
    project.write(tutorial[SUITE].replace(NORM, "else.py"), "sub/mine.yaml")
    assert run_ids("sub/mine.yaml") == before


def test_a_plugin_leaves_the_ids_of_other_runs_alone(project, tutorial):
    plain = load_plan(project.suite("a.yaml"), [])
    with_plugin = load_plan(project.suite("b.yaml", plugins=[NORM]), [])
    assert [run.run_id for run in plain.runs] == [run.run_id for run in with_plugin.runs]
    assert "plugins" not in plain.runs[0].spec.identity()


def test_identity_and_files_name_the_source(cli, project, tutorial):
    digest = hashlib.sha256(tutorial[NORM].encode()).hexdigest()[:16]
    project.suite(plugins=[NORM], base={"method": "rmsnorm"}, grid={"method": ["rmsnorm", "tdbn"]})
    assert cli("run", "tiny.yaml").code == 0
    (spec,) = [r.spec for r in load_plan(Path("tiny.yaml"), []).runs if r.spec.method.plugin]
    assert spec.identity()["plugins"] == {"method": digest}
    wanted = {"method": f"my_norm.py (sha256 {digest})"}
    for run_id, record in project.records().items():
        own = run_id.startswith("rmsnorm")
        stored = yaml.safe_load(Path("results/tiny", run_id, "spec.yaml").read_text())
        assert stored.get("plugins") == (wanted if own else None)
        assert record["environment"].get("plugins") == (wanted if own else None)


def test_reports_and_plots_need_no_plugin(cli, project, tutorial, forget):
    project.suite(plugins=[NORM], grid={"method": ["rmsnorm", "tdbn"], "model.depth": [1, 2]})
    assert cli("run", "tiny.yaml").code == 0
    Path(NORM).unlink()
    forget()
    report, plot = cli("report"), cli("plot")
    assert (report.code, plot.code) == (0, 0)
    assert "rmsnorm" in report.out
    assert "rmsnorm" not in CHOICES["method"]


def test_finished_runs_are_skipped_until_the_plugin_changes(cli, project, tutorial, forget):
    project.suite(plugins=[NORM], base={"method": "rmsnorm"}, grid={"model.depth": [1]})
    assert "already finished" not in cli("run", "tiny.yaml").out
    assert "already finished" in cli("run", "tiny.yaml").out
    forget()
    Path(NORM).write_text(tutorial[NORM] + "# again\n")
    assert "already finished" not in cli("run", "tiny.yaml").out
    assert len(project.records()) == 2


# ------------------------------------------------------------------------ installed packages


@pytest.fixture
def installed(tmp_path, tutorial, monkeypatch):
    """A package `lab_norms` 1.2 with two entry points, as an installer would leave it."""
    site = tmp_path / "site"
    package, info = site / "lab_norms", site / "lab_norms-1.2.dist-info"
    package.mkdir(parents=True)
    info.mkdir()
    (package / "__init__.py").write_text('raise_nothing = "here"\n')
    (package / "rms.py").write_text(tutorial[NORM])
    function = tutorial["my_data.py"].replace(
        "\nadd_dataset(", "\ndef register() -> None:\n    add_dataset("
    )
    (package / "stripes.py").write_text(function)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: lab-norms\nVersion: 1.2\n")
    (info / "top_level.txt").write_text("lab_norms\n")
    (info / "entry_points.txt").write_text(
        "[eibench.plugins]\nlab_rms = lab_norms.rms\nlab_stripes = lab_norms.stripes:register\n"
    )
    monkeypatch.syspath_prepend(str(site))
    yield package
    for name in [name for name in sys.modules if name.partition(".")[0] == "lab_norms"]:
        del sys.modules[name]


def test_installed_plugins_are_listed_but_not_loaded(cli, installed):
    done = cli("list", "plugins")
    assert done.out.splitlines() == ["lab_rms      lab-norms 1.2", "lab_stripes  lab-norms 1.2"]
    assert "lab_norms" not in sys.modules
    assert "rmsnorm" not in cli("list", "methods").out
    assert "rmsnorm" in cli("list", "methods", "--plugin", "lab_rms").out
    assert "stripes" in cli("list", "datasets", "--plugin", "lab_stripes").out


def test_an_installed_plugin_runs_and_names_its_version(cli, project, installed):
    project.suite(plugins=["lab_rms", "lab_stripes"], base={"method": "rmsnorm", "data": "stripes"})
    done = cli("run", "tiny.yaml")
    assert done.code == 0, done.err
    assert done.out.splitlines()[:2] == [
        "plugin: lab_rms (method rmsnorm)",
        "plugin: lab_stripes (data stripes)",
    ]
    files = sorted(installed.rglob("*.py"))
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:16]
    spec = load_plan(Path("tiny.yaml"), []).runs[0].spec
    text = f"lab-norms 1.2 {digest}"
    assert spec.identity()["plugins"] == {"method": text, "data": text}


def test_check_takes_an_installed_plugin(cli, installed):
    assert cli("check", "lab_rms").code == 0
    (line,) = cli("check", "lab_rsm").errors
    assert line.endswith("installed plugins: lab_rms, lab_stripes; did you mean 'lab_rms'?")


def test_an_installed_plugin_that_fails(cli, installed):
    path = installed / "rms.py"
    path.write_text("import torch\n1 / 0\n")
    (line,) = cli("check", "lab_rms").errors
    assert line == f"{path}:2: ZeroDivisionError: division by zero"


def test_list_with_a_file(cli, tutorial):
    assert "two_roads" in cli("list", "models", "--plugin", "my_model.py").out
    assert cli("list", "models", "--plugin", "nowhere.py").code == 2


def test_a_suite_without_plugins_loads_without_torch(project):
    project.suite()
    code = "import sys; from pathlib import Path; from eibench.plan import load_plan\n"
    code += "load_plan(Path('tiny.yaml'), []); print('torch' in sys.modules)"
    assert fresh(code).strip() == "False"
