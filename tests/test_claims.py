"""Prose holds no number that records could contradict: claims hold, and pages have no stray one.

A number of results belongs into a claim (claims.yaml) or a generated block. Add a page to `PAGES`
once its text is written so.
"""

import re
from pathlib import Path

import pytest

from eibench.plan.claims import read_claims
from eibench.report.model.claim_results import PASS, UNDECIDED
from eibench.report.model.claims import ClaimEvidence

ROOT = Path(__file__).parents[1]
CLAIMS = read_claims(ROOT / "claims.yaml")
PAGES = ["README.md"]
"""Pages whose numbers are checked."""
APART = (
    r"```.*?```",  # code
    r"<!-- \[\[\[cog.*?\[\[\[end\]\]\] -->",  # generated
    r"`[^`]*`",
    r"\]\([^)]*\)",  # targets of links
    r"https?://\S+",
)
"""Parts of a page in which numbers are not read."""
ALLOWED = (
    r"\b[A-Za-z]\w*-\d+\b",  # VGG-8, CIFAR-10
    r"\barXiv \d{4}\.\d{5}",
    r"\b(Python|torch|PyTorch) \d+(\.\d+)+",
    r"\b(ICLR|NeurIPS|ICML|CVPR|AAAI) 20\d\d\b",
    r"\b\d+x\d+\b",  # sizes of images
    r"\b(exit|Exit) code \d\b",
    r"\b\d+ % (confidence )?interval",
)
"""Numbers that are no results."""
NUMBER = re.compile(r"(?<![\w.])[-+]?\d+(?:[.,]\d+)*(?!\w)")


def stray_numbers(text, allowed=ALLOWED):
    """Return (line, number) of each number outside code, links, generated blocks and `allowed`."""
    for pattern in APART:
        text = re.sub(pattern, _blanked, text, flags=re.S)
    for pattern in allowed:
        text = re.sub(pattern, _blanked, text)
    return [(text.count("\n", 0, n.start()) + 1, n[0]) for n in NUMBER.finditer(text)]


def _blanked(found):
    """The same lines without text, so that line numbers stay."""
    return re.sub(r"[^\n]", " ", found[0])


@pytest.fixture(scope="module")
def results():
    found = ClaimEvidence([ROOT / "results" / "evidence"]).decide(CLAIMS)
    return {result.claim.id: result for result in found}


@pytest.mark.parametrize("name", [located.claim.id for located in CLAIMS])
def test_every_claim_holds_for_the_evidence(results, name):
    result = results[name]
    assert result.status in (PASS, UNDECIDED), result.reasons
    assert "?" not in result.sentence


@pytest.mark.parametrize("page", PAGES)
def test_pages_have_no_number_outside_claims_and_generated_blocks(page):
    assert stray_numbers((ROOT / page).read_text()) == []


def test_prose_of_findings_has_no_results():
    """Settings may stand there; decimals, deviations and percentages are claims."""
    text = (ROOT / "docs/findings.md").read_text()
    for pattern in (*APART, r"\brate (of )?0\.\d+"):
        text = re.sub(pattern, _blanked, text, flags=re.S)
    assert re.findall(r"[^\n]*(?:\d\.\d|±|\d %)[^\n]*", text) == []


def test_every_claim_of_a_group_is_about_a_committed_suite_or_profile():
    evidence = {path.parent.name for path in (ROOT / "results" / "evidence").glob("*/runs.tar.xz")}
    profiles = {path.stem for path in (ROOT / "results" / "performance").glob("*.json")}
    assert {located.claim.subject for located in CLAIMS} <= evidence | profiles


def test_stray_numbers_are_found_with_their_line():
    text = """\
# eibench 2
E-I is 0.8 points below at depth 4 (-2.4 to +0.9), on VGG-8 and images of 8x8
(ICLR 2026, [arXiv 2509.23253](https://arxiv.org/abs/2509.23253)), with `n = 5`.
```
eibench run --seeds 7,8
```
<!-- [[[cog
generate.claims("depth", 3)
]]] -->
97.1 ± 0.3
<!-- [[[end]]] -->
It needs Python 3.11, W_2 and 1,797 images. 95 % interval, 95 % of them.
"""
    assert stray_numbers(text) == [
        *((1, "2"), (2, "0.8"), (2, "4"), (2, "-2.4"), (2, "+0.9")),
        *((12, "1,797"), (12, "95")),
    ]
