"""Scripts for SLURM: a job array of shards, or one job that is a Ray cluster."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from eibench.errors import UserError
from eibench.plan.suite import MOST_RUNS

FORMS = {
    "--time": (r"[0-9]{1,6}(:[0-9]{1,2}){0,2}|[0-9]{1,4}-[0-9]{1,2}(:[0-9]{1,2}){0,2}", "24:00:00"),
    "--memory": (r"[0-9]{1,9}[KMGT]?", "16G"),
    "--gpus": (r"([A-Za-z0-9_.-]+:)?[0-9]{1,4}", "1 or a100:1"),
    "--partition": (r"[A-Za-z0-9_.,-]{1,200}", "gpu"),
}
"""Form of each option's value, as a regular expression and by example."""
LONGEST_EXTRA = 1000
QUOTED = b"'\\"
"""Bytes that need an escape within $'...'."""
RAY_PORTS = 20_000
"""The first of 10,000 ports, of which each job has its own: jobs may share a node."""


@dataclass(frozen=True)
class BatchJob:
    """Resources of a SLURM job.

    Raises:
        UserError: a value that SLURM would not understand.
    """

    name: str
    tasks: int
    """Tasks of the array, or nodes of the cluster."""
    time: str | None = None
    cpus: int | None = None
    """CPUs of a task or node."""
    gpus: str | None = None
    """GPUs of a task or node, perhaps with their type."""
    memory: str | None = None
    partition: str | None = None
    extra: Sequence[str] = ()
    """Further lines: options of sbatch, which begin with a dash, or commands before the run."""

    def __post_init__(self) -> None:
        for option, (form, example) in FORMS.items():
            value = getattr(self, option.removeprefix("--"))
            if value is not None and not re.fullmatch(form, value):
                raise UserError(f"{option} {value}: must be such as {example}")
        for line in self.extra:
            if not line.strip() or not line.isprintable() or len(line) > LONGEST_EXTRA:
                raise UserError(
                    f"--extra {line}: must be one line of at most {LONGEST_EXTRA} characters:"
                    " an option of sbatch, such as --account=lab, or a command"
                )
        if not 1 <= self.tasks <= MOST_RUNS:
            raise UserError(f"--tasks {self.tasks}: must be from 1 to {MOST_RUNS}")

    def directives(self, *first: str) -> Iterator[str]:
        """Yield the lines for sbatch, `first` after the name."""
        wanted = {
            "time": self.time,
            "cpus-per-task": self.cpus,
            "gres": self.gpus and f"gpu:{self.gpus}",
            "mem": self.memory,
            "partition": self.partition,
        }
        options = [f"--{key}={value}" for key, value in wanted.items() if value is not None]
        extra = [line.strip() for line in self.extra if line.lstrip().startswith("-")]
        for option in [f"--job-name=eibench-{self.name}", *first, *options, *extra]:
            yield f"#SBATCH {option}"

    def setup(self, folder: Path) -> Iterator[str]:
        """Yield the commands before the run, which is in `folder`."""
        yield "# Submitted again, it goes on: finished runs are skipped."
        yield "set -euo pipefail"
        yield f"cd {quote(str(folder))}"
        yield from (line for line in self.extra if not line.lstrip().startswith("-"))


def quote(word: str) -> str:
    """Return `word` as bash reads it, printable: names may have any byte."""
    if word.isprintable():
        return shlex.quote(word)
    escaped = (
        chr(byte) if 32 <= byte < 127 and byte not in QUOTED else f"\\x{byte:02x}"
        for byte in os.fsencode(word)
    )
    return f"$'{''.join(escaped)}'"


def _join(command: Sequence[str]) -> str:
    return " ".join(map(quote, command))


def array_script(job: BatchJob, command: Sequence[str], folder: Path) -> str:
    """Return the script of an array whose tasks run `command` in `folder`, a shard each."""
    threads = [f"export OMP_NUM_THREADS={job.cpus}"] if job.cpus else []
    lines = [
        "#!/bin/bash",
        *job.directives(f"--array=1-{job.tasks}"),
        *job.setup(folder),
        *threads,
        f'exec {_join(command)} --shard "$SLURM_ARRAY_TASK_ID/{job.tasks}"',
    ]
    return "\n".join(lines) + "\n"


def ray_script(job: BatchJob, python: str, command: Sequence[str], folder: Path) -> str:
    """Return the script of a Ray cluster of whole tasks that runs `command` in `folder`."""
    gpus = int(job.gpus.rpartition(":")[2]) if job.gpus else None
    sizes = {"--num-cpus": job.cpus, "--num-gpus": gpus}
    options = [word for key, n in sizes.items() if n is not None for word in (key, str(n))]
    ray = [python, "-m", "ray.scripts.scripts", "symmetric-run"]
    lines = [
        "#!/bin/bash",
        *job.directives(f"--nodes={job.tasks}", "--ntasks-per-node=1"),
        *job.setup(folder),
        "export RAY_USAGE_STATS_ENABLED=0",
        'head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | sed -n 1p)',
        f'address="$head:$(({RAY_PORTS} + SLURM_JOB_ID % 10000))"',
        f"exec srun --nodes={job.tasks} --ntasks={job.tasks} \\",
        f'    {_join(ray)} --address "$address" --min-nodes {job.tasks}'
        f"{''.join(f' {word}' for word in options)} -- \\",
        f'    {_join(command)} --engine ray --address "$address"',
    ]
    return "\n".join(lines) + "\n"


def sbatch(script: str) -> str:
    """Submit a script; return what `sbatch` says.

    Raises:
        UserError: there is no `sbatch` here, or it refuses the script.
    """
    try:
        done = subprocess.run(
            ["sbatch"],
            input=script,
            encoding="utf-8",
            errors="backslashreplace",
            capture_output=True,
            check=False,
        )
    except OSError as error:
        raise UserError(
            f"sbatch: cannot be run here: {error.strerror}; without --go the script is printed"
        ) from None
    if done.returncode:
        raise UserError(f"sbatch: {done.stderr.strip() or f'exit code {done.returncode}'}")
    return done.stdout.strip()
