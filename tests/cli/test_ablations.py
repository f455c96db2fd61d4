"""A suite with ablations through the real commands: plan, run, records, report, figure, table."""

from pathlib import Path

import eibench
from eibench.plan import load_plan

ABLATE = {"hard reset": {"neuron.reset": "hard"}, "no momentum": {"train.momentum": 0}}


def test_from_suite_to_report(project, cli):
    path = project.suite(grid={}, ablate=ABLATE, ablate_pairs=True, seeds=[0, 1])
    shown = cli("run", path, "--dry-run", "--only", "ablation=hard reset")
    assert "(hard reset)" in shown.out
    assert "(base)" not in shown.out
    assert cli("run", path, "--only", "ablation=base,hard reset").code == 0
    done = cli("run", path)
    assert done.code == 0
    assert "(hard reset + no momentum)" in done.out
    records = project.records().values()
    names = ["base", *ABLATE, "hard reset + no momentum"]
    assert sorted(r["fields"]["ablation"] for r in records) == sorted(2 * names)
    frame = eibench.load_results("results/tiny")
    assert list(frame["ablation"]) == 2 * names
    report = cli("report", "results/tiny", "--format", "markdown").out
    assert "difference to base" in report
    drawn = cli("plot", "results/tiny")
    assert (drawn.code, drawn.err) == (0, "")


def test_a_renamed_ablation_keeps_its_results(project, cli):
    path = project.suite(grid={}, ablate=ABLATE)
    assert cli("run", path).code == 0
    renamed = {"reset to zero": ABLATE["hard reset"], "plain descent": ABLATE["no momentum"]}
    done = cli("run", project.suite(grid={}, ablate=renamed))
    assert done.out.count("already finished") == 3
    names = ["base", *renamed]
    assert list(eibench.load_results("results/tiny")["ablation"]) == names
    plain = cli("run", project.suite(grid={}))
    assert plain.code == 0
    assert list(eibench.load_results("results/tiny")["planned"]) == [True, False, False]


def test_the_example_of_the_documentation(project):
    page = (Path(__file__).parents[2] / "docs" / "suites.md").read_text(encoding="utf-8")
    section = page.split("## Ablations\n")[1]
    text = section.split("```yaml\n")[1].split("```")[0]
    assert len(load_plan(project.write(text, "parts.yaml"), []).runs) == 36
