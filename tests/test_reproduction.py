"""`make reproduce`, its page and its workflow: commands exist, and what they take fits."""

import json
import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest
import reproduction
import typer
import yaml

from eibench.cli import app
from eibench.plan import load_plan
from eibench.results.plan_file import write_plan
from eibench.results.store import RunFolder

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
CORE = ["quickstart", "propagation", "depth_scaling", "ei_components", "fashion_muon"]
HOURS_OF_A_JOB, CORES_OF_A_RUNNER = 6, 4


def make(*words):
    """The lines that make prints."""
    kept = ("PATH", "HOME", "LANG")  # no SUITES or MAKEFLAGS of a make around the tests
    environment = {key: os.environ[key] for key in kept if key in os.environ}
    done = subprocess.run(
        ["make", *words], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, ""), words
    return done.stdout.replace("\\\n", "").splitlines()


def commands(*words):
    """The eibench commands of a dry make, without those that install."""
    return [line for line in make("--dry-run", *words) if "bin/eibench" in line]


# ------------------------------------------------------------------------------- make reproduce


def test_the_core_tier():
    runs = commands("reproduce", "JOBS=3")[: len(CORE)]
    assert [re.search(r"suites/(\w+)\.yaml --results build/", line)[1] for line in runs] == CORE
    assert all(line.startswith("OMP_NUM_THREADS=1 .venv/bin/eibench ") for line in runs)
    end = "--results build/reproduce --jobs 3 --skip-absent || [ $? -eq 1 ]"
    assert all(line.endswith(end) for line in runs)


STUB = """#!/bin/sh
echo "$@" >> {log}
case "$1 $2" in
"run suites/learning_rates.yaml") echo "learning_rates is skipped: no data"; exit 0;;
"run suites/propagation.yaml") mkdir -p {fresh}/propagation; exit 1;;
"run suites/cost.yaml") mkdir -p {fresh}/cost;;
"cost suites/cost.yaml") exit 1;;
"verify propagation") exit 2;;
esac
"""


@pytest.mark.parametrize(
    ("suites", "update", "code", "end"),
    [
        ("propagation learning_rates", "", 2, ["tables propagation --live", "verify propagation"]),
        (
            "learning_rates propagation",
            "1",
            2,
            [
                "tables propagation --live",
                "verify propagation",
                "results pack",
                "tables propagation",
            ],
        ),
        ("learning_rates", "", 0, []),
        ("cost", "", 0, ["cost suites/cost.yaml --results", "tables cost --live", "verify cost"]),
    ],
)
def test_what_follows_the_runs(tmp_path, suites, update, code, end):
    """Suites that were skipped are in no table and no check; the exit code is that of verify."""
    log, fresh, stub = tmp_path / "log", tmp_path / "fresh", tmp_path / "eibench"
    stub.write_text(STUB.format(log=log, fresh=fresh))
    stub.chmod(0o755)
    words = ["make", "-o", ".venv/.run", "reproduce", f"SUITES={suites}", f"UPDATE={update}"]
    done = subprocess.run(
        [*words, f"BIN={tmp_path}", f"FRESH={fresh}"], cwd=ROOT, capture_output=True, check=False
    )
    assert done.returncode == code, done
    calls = log.read_text().splitlines()
    assert all(call.startswith("run suites/") for call in calls[: len(suites.split())])
    after = calls[len(suites.split()) :]
    assert [call.startswith(start) for call, start in zip(after, end, strict=True)] == [True] * len(
        end
    )
    assert all("learning_rates" not in call for call in after)
    if update:
        assert after[2] == f"results pack {fresh}/propagation --out results/evidence --replace"


@pytest.mark.parametrize(("name", "verb"), [("propagation", "run"), ("ei_init_search", "search")])
def test_a_search_is_searched_and_a_suite_run(name, verb):
    (line,) = commands(f"reproduce-{name}")
    chosen = re.search(r"\$\((.*?)\)", line)[1]
    done = subprocess.run(chosen, shell=True, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == verb


def test_as_many_jobs_as_cores():
    (line,) = commands("reproduce-propagation")
    assert re.search(r"--jobs (\d+) ", line)[1] == str(os.sysconf("SC_NPROCESSORS_ONLN"))


def test_tiers():
    (core,), (everything,) = make("tier-core"), make("tier-all")
    assert core.split() == CORE == reproduction.core_tier((ROOT / "Makefile").read_text())
    packs = (ROOT / "results" / "evidence").glob("*/runs.tar.xz")
    evidence = sorted({path.parent.name.partition("-")[0] for path in packs})
    assert sorted(everything.split()) == evidence
    assert set(CORE) < set(evidence)


def test_results_of_a_reproduction_are_ignored_by_git():
    words = ["git", "check-ignore", "--quiet", "build/reproduce/quickstart/plan.json"]
    done = subprocess.run(words, cwd=ROOT, check=False)
    if done.returncode == 128:
        pytest.skip("no repository")
    assert done.returncode == 0


# ------------------------------------------------------------------------------------- its costs


@pytest.fixture(scope="module")
def costs():
    packs = (ROOT / "results" / "evidence").glob("*/runs.tar.xz")
    return {pack.parent.name: reproduction.cost(pack.parent) for pack in packs}


def test_the_core_tier_takes_45_minutes_on_four_cores(costs):
    assert sum(costs[name].core_minutes for name in CORE) <= 4 * 45


def test_each_suite_fits_into_a_job(costs):
    most = 60 * HOURS_OF_A_JOB * CORES_OF_A_RUNNER
    assert [name for name, cost in costs.items() if cost.core_minutes > most] == []


def epoch(number, train, evaluation):
    return {
        "epoch": number,
        "train_loss": 1.0,
        "cost": {"train_seconds": train, "evaluation_seconds": evaluation},
    }


def test_a_cost_counts_threads_and_trials_that_were_stopped(project):
    """60 s on 2 threads, a trial of 30 s on 1, and one stopped after 2 epochs of 10 + 5 s."""
    plan = load_plan(project.suite(seeds=[0, 1]), [])
    folder = Path("results/tiny")
    write_plan(folder, plan)
    whole, trial, stopped, _ = plan.runs

    def record(run, place, seconds, threads):
        content = {
            "schema": 1,
            "status": "ok",
            "reason": None,
            "fields": run.fields(),
            "result": {"test_accuracy": 50.0},
            "cost": {"seconds": seconds},
            "environment": {"cpu": "Xeon", "device": threads},
        }
        RunFolder(place / run.run_id).finish(content)

    record(whole, folder, 60.0, "cpu, 2 threads")
    record(trial, folder / "search", 30.0, "cpu, 1 thread")
    epochs = RunFolder(folder / "search" / stopped.run_id)
    epochs.begin_epochs([epoch(1, 10.0, 5.0), epoch(2, 10.0, 5.0)])
    assert reproduction.cost(folder) == reproduction.Cost(3, 3.0, ("Xeon",))


# ----------------------------------------------------------------------------------- workflows


def jobs(path):
    return yaml.safe_load(path.read_text())["jobs"]


def steps(path):
    return [step for job in jobs(path).values() for step in job["steps"]]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda p: p.stem)
def test_jobs_end_in_time(path):
    for name, job in jobs(path).items():
        assert 0 < job["timeout-minutes"] <= 60 * HOURS_OF_A_JOB, name


def test_actions_have_one_pinned_version():
    used = {step["uses"] for path in WORKFLOWS for step in steps(path) if "uses" in step}
    names = [name for name, _, _ in (action.partition("@") for action in used)]
    assert all(re.fullmatch(r"actions/[\w-]+@v\d+", action) for action in used)
    assert len(names) == len(set(names))


def run_lines(path):
    return [line for step in steps(path) for line in step.get("run", "").splitlines()]


def test_make_targets_of_workflows_exist():
    lines = [line for path in WORKFLOWS for line in run_lines(path)]
    filled = [re.sub(r"\$\{\{ matrix.suite \}\}", CORE[0], line) for line in lines]
    found = re.findall(r'\bmake (?:--silent )?"?([^\s")]+)', "\n".join(filled))
    assert {"lint", "tier-$TIER", f"reproduce-{CORE[0]}"} <= set(found)
    for target in found:
        make("--dry-run", target.replace("$TIER", "core"))


def test_eibench_commands_of_workflows_exist():
    """With options that the command has."""
    group = typer.main.get_command(app)
    lines = [line for path in WORKFLOWS for line in run_lines(path) if "bin/eibench" in line]
    assert lines
    for line in lines:
        words = shlex.split(line.partition("bin/eibench ")[2].partition(" >>")[0])
        command = group.commands[words[0]]
        known = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= known


def test_suites_go_from_job_to_job():
    """The matrix is the plan's output; each job's results, evaluations too, come back together."""
    found = jobs(ROOT / ".github" / "workflows" / "reproduce.yml")
    plan, run, verify = found["plan"], found["run"], found["verify"]
    assert plan["outputs"]["suites"] == "${{ steps.suites.outputs.suites }}"
    assert plan["steps"][1]["id"] == "suites"
    assert run["strategy"]["matrix"]["suite"] == "${{ fromJSON(needs.plan.outputs.suites) }}"
    assert not run["strategy"]["fail-fast"]
    upload = run["steps"][-1]
    assert upload["if"] == "always()"
    assert upload["with"]["name"] == "${{ matrix.suite }}"
    assert upload["with"]["path"] == "build/reproduce"
    *_, download, check = verify["steps"]
    assert download["with"] == {"path": "build/reproduce", "merge-multiple": True}
    assert check["run"].endswith('--format markdown >> "$GITHUB_STEP_SUMMARY"')
    assert "--results build/reproduce" in check["run"]


def test_the_plan_of_the_workflow_is_a_list_of_suites(tmp_path):
    script = jobs(ROOT / ".github" / "workflows" / "reproduce.yml")["plan"]["steps"][1]["run"]
    out = tmp_path / "output"
    environment = {"PATH": os.environ["PATH"], "TIER": "core", "GITHUB_OUTPUT": str(out)}
    if subprocess.run(["jq", "--version"], capture_output=True, check=False).returncode:
        pytest.skip("no jq")
    subprocess.run(["bash", "-e", "-c", script], cwd=ROOT, env=environment, check=True)
    key, _, value = out.read_text().strip().partition("=")
    assert (key, json.loads(value)) == ("suites", CORE)
