"""Help of commands: plain text that wraps, with examples below the options."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup

LONGEST_SUMMARY = 500
"""Characters of a command's summary in the list of commands, beyond any there is."""

EXAMPLES = {
    "run": [
        "eibench run quickstart",
        "eibench run depth_scaling --dry-run",
        "eibench run mine.yaml --jobs 2 --only model.depth=4,8 --set train.epochs=5",
    ],
    "probe": [
        "eibench probe propagation",
        "eibench probe depth_scaling --steps 0,50 --seeds 0",
    ],
    "search": [
        "eibench search ei_init_search --trials 8",
        "eibench search mine.yaml --jobs 2 --export tuned.yaml",
    ],
    "submit": [
        "eibench submit quickstart --slurm --tasks 4 --time 1:00:00 --cpus 4",
        "eibench submit depth_scaling --ray --tasks 2 --gpus 4 --extra --account=lab",
    ],
    "status": ["eibench status", "eibench status results/depth_scaling --watch"],
    "evaluate": [
        "eibench run quickstart --keep best",
        "eibench evaluate results/quickstart/RUN --timesteps 8",
        "eibench evaluate results/quickstart/RUN --under contrast=0.3,0.6,1",
    ],
    "export": [
        "eibench export results/quickstart/RUN --to onnx",
        "eibench export results/quickstart/RUN --to nir --out network.nir",
        "eibench export results --to tensorboard",
    ],
    "import": ["eibench import deepeisnn CIFAR10-VGG8 --out runs/authors-vgg8"],
    "report": [
        "eibench report results/quickstart",
        "eibench report results/quickstart --rows method --columns seed",
        "eibench report results/depth_scaling --format latex --out table.tex",
    ],
    "plot": [
        "eibench plot results/depth_scaling",
        "eibench plot results/depth_scaling --curves --size 5.5,3 --no-title",
        "eibench plot results/depth_scaling --x model.depth --metric seconds",
    ],
    "tables": ["eibench tables quickstart --live"],
    "verify": ["eibench verify", "eibench verify depth_scaling --format markdown"],
    "list": ["eibench list suites", "eibench list methods --plugin my_norm.py"],
    "data": ["eibench data fetch cifar10", "eibench data show digits"],
    "results": ["eibench results pack results/quickstart", "eibench results unpack --out results"],
    "show": [
        "eibench show plain --method batchnorm --set model.depth=8",
        "eibench show vgg --data cifar10",
    ],
    "check": ["eibench check my_norm.py --set eps=0.001"],
    "init": ["eibench init quickstart mine", "eibench run mine"],
    "profile": ["eibench profile --model vgg8 --methods ei,batchnorm --steps 10"],
    "cost": [
        "eibench cost quickstart --initialised",
        "eibench cost results/robustness/RUN --images 64",
        "eibench cost robustness --train-steps 10 --format latex --out cost.tex",
    ],
    "doctor": ["eibench doctor"],
}
START = [
    "eibench run quickstart            train four methods, print the table",
    "eibench list suites               what else there is to run",
    "eibench init quickstart mine      copy a suite to edit: suites/mine.yaml",
    "eibench COMMAND --help            options of a command, with examples",
]


def epilog(command: str | None = None) -> str:
    """Return the text below the help of a command, or of eibench; `\\b` keeps its lines."""
    lines = EXAMPLES[command] if command else START
    return "\b\n" + "\n".join(["Examples:", *(f"  {line}" for line in lines)])


class HelpGroup(TyperGroup):
    """Command group whose help wraps the summaries of commands instead of cutting them."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        found = {name: self.get_command(ctx, name) for name in self.list_commands(ctx)}
        summaries = [
            (name, one.get_short_help_str(LONGEST_SUMMARY))
            for name, one in found.items()
            if one is not None
        ]
        with formatter.section("Commands"):
            formatter.write_dl(summaries)


def command_group(summary: str) -> typer.Typer:
    """Return an application of several commands, to be a command of eibench."""
    return typer.Typer(cls=HelpGroup, rich_markup_mode=None, no_args_is_help=True, help=summary)
