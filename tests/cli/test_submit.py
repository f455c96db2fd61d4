"""Batch scripts: what is printed runs in bash, with every word as it was given."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from eibench.errors import UserError
from eibench.execution.batch_script import BatchJob, array_script

ODD = [
    "it's",
    "a b",
    "$HOME `id` $(id)",
    '"',
    "*",
    "~",
    "-n",
    "",
    "é",
    ";",
    "a\nb",
    "\x1b[2J'\\é\udcff",
]


@pytest.fixture
def suite(project):
    return project.suite()


def bash(script, *, check=False, **variables):
    """Run a script; `check` reads it only."""
    words = ["bash", *(["-n"] if check else [])]
    environment = {**os.environ, **variables}
    return subprocess.run(
        words, input=script, text=True, capture_output=True, check=True, env=environment
    ).stdout


def stub(name, text):
    """Put a program on PATH."""
    folder = Path("bin")
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/bash\n{text}\n")
    path.chmod(0o755)
    return {"PATH": f"{folder.absolute()}{os.pathsep}{os.environ['PATH']}"}


def directives(script):
    return [line.split(maxsplit=1)[1] for line in script.splitlines() if line[:7] == "#SBATCH"]


def test_an_array(cli, suite):
    words = ["--time", "2-12", "--cpus", 4, "--gpus", "a100:1", "--memory", "16G"]
    words += ["--partition", "gpu", "--extra=--account=lab", "--extra", "module load 'cuda 12'"]
    done = cli("submit", suite, "--slurm", "--tasks", 3, *words, "--seeds", "0,1")
    assert (done.code, done.err) == (0, "")
    bash(done.out, check=True)
    assert directives(done.out) == [
        "--job-name=eibench-tiny",
        "--array=1-3",
        "--time=2-12",
        "--cpus-per-task=4",
        "--gres=gpu:a100:1",
        "--mem=16G",
        "--partition=gpu",
        "--account=lab",
    ]
    lines = done.out.splitlines()
    assert f"cd {Path.cwd()}" in lines
    assert lines.index("module load 'cuda 12'") < lines.index("export OMP_NUM_THREADS=4")
    command = shlex.split(lines[-1])
    assert command[:5] == ["exec", sys.executable, "-m", "eibench", "run"]
    assert command[5:] == [
        str(suite), "--seeds=0,1", "--results=results", "--shard", "$SLURM_ARRAY_TASK_ID/3",
    ]  # fmt: skip


def test_a_ray_cluster(cli, suite):
    done = cli("submit", suite, "--ray", "--tasks", 2, "--cpus", 8, "--gpus", "v100:4")
    assert done.code == 0
    said = "$@"
    path = stub("srun", f'printf "%s\\n" "{said}"') | stub("scontrol", "echo node1; echo node2")
    out = bash(done.out, **path, SLURM_JOB_NODELIST="node[1-2]", SLURM_JOB_ID="1234567")
    words, _, command = out.partition("\n--\n")
    assert words.splitlines() == [
        "--nodes=2", "--ntasks=2", sys.executable, "-m", "ray.scripts.scripts", "symmetric-run",
        "--address", "node1:24567", "--min-nodes", "2", "--num-cpus", "8", "--num-gpus", "4",
    ]  # fmt: skip
    assert command.splitlines() == [
        sys.executable, "-m", "eibench", "run", str(suite), "--results=results",
        "--engine", "ray", "--address", "node1:24567",
    ]  # fmt: skip
    assert "--nodes=2" in directives(done.out)


def test_odd_words_reach_the_command_as_they_are(tmp_path):
    folder = tmp_path / "a 'b' $c"
    folder.mkdir()
    program = "import json, os, sys; print(json.dumps([os.getcwd(), sys.argv[1:]]))"
    script = array_script(BatchJob("odd", 5), [sys.executable, "-c", program, *ODD], folder)
    assert all(line.isprintable() for line in script.splitlines())
    bash(script, check=True)
    found = json.loads(bash(script, SLURM_ARRAY_TASK_ID="2"))
    assert found == [str(folder), [*ODD, "--shard", "2/5"]]


def test_the_printed_array_computes_the_suite(cli, project, suite, monkeypatch):
    """Its tasks, one after another in bash."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    script = cli("submit", suite, "--slurm", "--tasks", 1, "--device", "cpu").out
    assert "2 of 2 runs ok" in bash(script, SLURM_ARRAY_TASK_ID="1")
    assert len(project.records()) == 2


def test_go_hands_the_script_to_sbatch(cli, suite, monkeypatch):
    monkeypatch.setenv("PATH", stub("sbatch", "cat > script; echo Submitted batch job 7")["PATH"])
    printed = cli("submit", suite, "--slurm")
    done = cli("submit", suite, "--slurm", "--go")
    assert done.code == 0
    assert "tiny: 2 runs, 4 tasks; Submitted batch job 7" in done.out
    assert "eibench status results/tiny --watch" in done.out
    assert Path("script").read_text() == printed.out


def test_sbatch_that_refuses_or_is_absent(cli, suite, monkeypatch):
    monkeypatch.setenv("PATH", stub("sbatch", "echo invalid partition >&2; exit 1")["PATH"])
    done = cli("submit", suite, "--slurm", "--go")
    assert (done.code, done.errors) == (2, ["sbatch: invalid partition"])
    monkeypatch.setenv("PATH", "nowhere")
    done = cli("submit", suite, "--slurm", "--go")
    assert done.code == 2
    assert done.errors == [
        "sbatch: cannot be run here: No such file or directory; without --go the script is printed"
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--slurm", "--time", "soon"], "--time soon: must be such as 24:00:00"),
        (["--slurm", "--memory", "16 GB"], "--memory 16 GB: must be such as 16G"),
        (["--slurm", "--gpus", "one"], "--gpus one: must be such as 1 or a100:1"),
        (["--slurm", "--partition", "a b"], "--partition a b: must be such as gpu"),
        (["--slurm", "--tasks", "10001"], "--tasks 10001: must be from 1 to 10000"),
        ([], "name one kind of script: --slurm (a job array) or --ray (a Ray cluster)"),
        (["--slurm", "--ray"], "name one kind of script: --slurm (a job array) or --ray"),
        (["--slurm", "--only", "seed=9"], "--only seed=9"),
    ],
)
def test_bad_options(cli, suite, words, message):
    done = cli("submit", suite, *words)
    assert (done.code, done.out) == (2, "")
    (error,) = done.errors
    assert error.startswith(message)


@pytest.mark.parametrize("line", ["", " ", "a\nb", "#SBATCH\r", "x" * 1001])
def test_extra_is_one_line(line):
    with pytest.raises(UserError, match="must be one line"):
        BatchJob("odd", 1, extra=[line])
