"""`eibench init`: a copy of a suite to edit."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from eibench.cli.console import say
from eibench.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from eibench.plan.suite import SuiteFile

NAME_LINE = re.compile(r"^name:.*$", re.M)


def init(
    suite: Annotated[str, typer.Argument(metavar="SUITE", help="A suite that ships with eibench.")],
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="Name of the copy.", show_default="the suite's"),
    ] = None,
) -> None:
    """Copy a suite of eibench to suites/NAME.yaml, to edit it.

    A suite in the folder suites/ takes precedence over the shipped one. Under another NAME the
    copy has results of its own. The published numbers that it names are copied too.
    """
    from eibench.plan.find import LOCAL, shipped_folder, suite_files
    from eibench.plan.suite import read_suite
    from eibench.plan.yaml_source import dump

    known = {path.stem: path for path in suite_files(shipped_folder())}
    if suite not in known:
        hint = did_you_mean(suite, known) or f"; allowed: {', '.join(known)}"
        raise UserError(f"{suite}: eibench has no suite of this name{hint}")
    path = known[suite]
    content = read_suite(path)[1]
    new = _checked_name(content, name or content.name)
    target = LOCAL / f"{new}.yaml"
    if target.exists():
        raise UserError(f"{target}: exists; `eibench init {suite} NAME` copies to another name")
    line = dump({"name": new}).rstrip()
    text = NAME_LINE.sub(line, path.read_text(encoding="utf-8"), count=1)
    LOCAL.mkdir(exist_ok=True)
    target.write_text(text, encoding="utf-8")
    say(f"{target}; `eibench {'search' if content.search else 'run'} {new}` uses it")
    _copy_references(content, path.parent, LOCAL)


def _checked_name(suite: SuiteFile, name: str) -> str:
    """Return `name`; raise `UserError` unless it can be a suite's."""
    from eibench.plan.suite import SuiteFile
    from eibench.plan.validate import Invalid, validate

    try:
        return validate(SuiteFile, {**suite.model_dump(), "name": name}).name
    except Invalid as invalid:
        raise UserError(f"NAME {invalid.problems[0].text}") from None


def _copy_references(suite: SuiteFile, source: Path, folder: Path) -> None:
    """Copy the published numbers that `suite` names, unless they are there."""
    if suite.references and not (folder / suite.references).exists():
        shutil.copyfile(source / suite.references, folder / suite.references)
        say(str(folder / suite.references))
