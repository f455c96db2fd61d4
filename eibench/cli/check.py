"""`eibench check`: run the contract tests on a plugin's methods, models and data sets."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from eibench.cli.console import say
from eibench.cli.options import read_overrides, validate_settings
from eibench.errors import UserError, did_you_mean, error_text, reraise_interrupt
from eibench.results.labels import capital

if TYPE_CHECKING:
    from eibench.plan.layers import Override
    from eibench.plan.options import Choice
    from eibench.plan.plugins import Loaded


def check(
    plugin: Annotated[str, typer.Argument(help="A Python file, or an installed plugin's name.")],
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="OPTION=VALUE", help="An option of what the plugin adds."),
    ] = None,
) -> None:
    """Test whether the methods, models and data sets of a plugin fulfil the contracts.

    Exit code: 0 all hold, 1 some fail, 2 bad input.
    """
    from eibench.plan.plugins import load_plugin

    loaded = load_plugin(plugin)
    if not loaded.choices:
        raise UserError(f"{plugin}: adds nothing; call add_method, add_model or add_dataset")
    choices = _with_settings(loaded, read_overrides(settings))
    failed = sum([_check(loaded, kind, choice) for kind, choice in choices])
    fails = "1 contract fails" if failed == 1 else f"{failed} contracts fail"
    say(fails if failed else "every contract holds")
    if failed:
        raise typer.Exit(1)


def _with_settings(loaded: Loaded, settings: list[Override]) -> list[tuple[str, Choice]]:
    """Return (kind, options) of all that the plugin adds, with `settings` applied."""
    known = [field for _, cls in loaded.choices for field in cls.model_fields]
    for setting in settings:
        if setting.key not in known:
            allowed = ", ".join(known) or "none"
            hint = did_you_mean(setting.key, known)
            raise UserError(f"{setting}: unknown option; allowed: {allowed}{hint}")
    values = {setting.key: setting.value for setting in settings}
    own = [{k: values[k] for k in values if k in cls.model_fields} for _, cls in loaded.choices]
    return [
        (kind, validate_settings(cls, cls.name, chosen))
        for (kind, cls), chosen in zip(loaded.choices, own, strict=True)
    ]


def _check(loaded: Loaded, kind: str, choice: Choice) -> int:
    """Print a line for each contract; return the number that fail."""
    from eibench.contracts import CONTRACTS

    say(f"{kind} {choice.label}")
    failures = [_failure(contract, choice, loaded) for contract in CONTRACTS[kind]]
    return sum(failures)


def _failure(contract: Callable[[Any], None], choice: Choice, loaded: Loaded) -> bool:
    """Print the line of a contract; return whether it fails."""
    from eibench.contracts import Broken
    from eibench.plan.plugins import in_words

    title = " ".join((contract.__doc__ or "").split()).removeprefix("Check that ")
    title = capital(title.removesuffix("."))
    try:
        contract(choice)
    except Broken as broken:
        cause = broken.__cause__
        why = f": {in_words(cause, loaded.name, loaded.root)}" if cause else ""
        reason = f"{error_text(broken)}{why}"
    except BaseException as error:  # a plugin's code may raise anything, also SystemExit
        reraise_interrupt(error)
        reason = in_words(error, loaded.name, loaded.root)
    else:
        say(f"  ok     {title}")
        return False
    say(f"  FAILS  {title}:\n         {reason}")
    return True
