"""`eibench verify`: claims checked against results."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from eibench.cli.console import print_documents, say
from eibench.cli.options import OutFile, chosen_results, valid_paths

NOT_ALL_PASS = 1


class ClaimsFormat(StrEnum):
    """Output formats."""

    table = "table"
    markdown = "markdown"
    json = "json"


def verify(
    suites: Annotated[
        list[str] | None,
        typer.Argument(help="Only claims about these suites or profiles.", show_default="all"),
    ] = None,
    results: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="DIR",
            callback=valid_paths,
            help="Results folder; repeat it for several, the first with a suite counts.",
            show_default="results",
        ),
    ] = None,
    claims: Annotated[
        Path, typer.Option(metavar="FILE", callback=valid_paths, help="File of claims.")
    ] = Path("claims.yaml"),
    compare: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            callback=valid_paths,
            help="Results, such as results/evidence, that the numbers are set beside.",
            show_default=False,
        ),
    ] = None,
    form: Annotated[
        ClaimsFormat, typer.Option("--format", help="How to write it.")
    ] = ClaimsFormat.table,
    out: OutFile = None,
) -> None:
    """Check each claim of claims.yaml against results: PASS, FAIL, UNDECIDED or MISSING.

    A difference passes if its whole 95 % interval lies on the claimed side of the bound, fails if
    it lies wholly beyond, and is undecided otherwise. Exit code 1: some claims do not pass. With
    --compare, each claim also tells whether its numbers agree with those of other results, which
    does not change the exit code.
    """
    from eibench.plan.claims import read_claims, select_claims
    from eibench.plan.find import known_suites
    from eibench.report.model.claim_results import PASS, agreement
    from eibench.report.model.claims import ClaimEvidence
    from eibench.report.model.claims_document import claims_document, counts

    without = known_suites()  # a suite need not have claims
    chosen = select_claims(read_claims(claims), suites or [], without)
    found = ClaimEvidence(chosen_results(results)).decide(chosen)
    others = [] if compare is None else ClaimEvidence([compare]).decide(chosen)
    compared = [agreement(ours, theirs) for ours, theirs in zip(found, others, strict=False)]
    document = claims_document(found, compared)
    print_documents([document], form.value, out)
    if out is not None:
        say(counts(found))
    if any(result.status != PASS for result in found):
        raise typer.Exit(NOT_ALL_PASS)
