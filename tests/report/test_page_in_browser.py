"""A page in headless Chromium: from a file, without a network, narrow and wide, light and dark."""

import itertools
from pathlib import Path

import browser
import pytest

from eibench.report.make import make_documents
from eibench.report.writers import write

pytest.importorskip("altair")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(browser.PROGRAM is None, reason="Chromium is not installed"),
]
LOOKS = [(width, scheme) for width in (400, 1300) for scheme in ("light", "dark")]
DRAWN = "[...document.querySelectorAll('.view')].filter((v) => v.querySelector('svg')).length"


@pytest.fixture
def page(depth_scaling, propagation, fair_search, make_search):
    grid = make_search("grid", axes=[])
    sizes = {"choices": [0.5, 1.0, 2.0]}
    grid.study("all", {}, {"train.lr": sizes, "method.kappa": sizes})
    for i, (x, y) in enumerate(itertools.product(*[sizes["choices"]] * 2)):
        reason = "epoch 1: loss is nan" if i == 4 else None
        grid.trial(90.0 - i, {"train.lr": x, "method.kappa": y}, reason=reason)
    folders = [one.folder for one in (depth_scaling, propagation, fair_search.fresh, grid)]
    path = Path("page.html")
    path.write_text(write(make_documents(folders, form="html"), "html"), encoding="utf-8")
    return path


def show_all(chromium):
    """Unfold every chart and scroll past it, until all are drawn."""
    hidden = "document.querySelectorAll('figure[hidden]')"
    chromium.ask(f"{hidden}.forEach((figure) => {{ figure.hidden = false; }})")
    views = chromium.ask("document.querySelectorAll('.view').length")
    for i in range(views):
        view = f"document.querySelectorAll('.view')[{i}]"
        chromium.ask(f"{view}.scrollIntoView()")
        chromium.wait(f"{view}.querySelector('svg') !== null")
    assert chromium.ask(DRAWN) == views
    return views


def cells(chromium, table, column):
    """The visible texts of a column."""
    rows = f"[...document.querySelectorAll('table')[{table}].tBodies[0].rows]"
    return chromium.ask(f"{rows}.filter((r) => !r.hidden).map((r) => r.cells[{column}].innerText)")


def test_a_page_in_a_browser(page, tmp_path):
    with browser.open_browser(tmp_path / "profile") as chromium:
        for width, scheme in LOOKS:
            chromium.look(width, scheme=scheme)
            chromium.open(page)
            assert show_all(chromium) > 15
            back = chromium.ask("getComputedStyle(document.body).backgroundColor")
            assert (back == "rgb(255, 255, 255)") is (scheme == "light")
            assert chromium.ask("document.documentElement.scrollWidth") <= width
            assert chromium.ask("document.querySelectorAll('svg .mark-line path').length") > 10
            assert chromium.problems == []
        _sort_and_filter(chromium)
        _legend_and_numbers(chromium)
        chromium.look(1300, scheme="light")  # colours follow at once
        chromium.wait("getComputedStyle(document.body).backgroundColor === 'rgb(255, 255, 255)'")
        chromium.open(page)
        assert chromium.problems == []
        assert {url.partition(":")[0] for url in chromium.requests} == {"file"}


def _sort_and_filter(chromium):
    """The table of suites has three rows: the heads are buttons that sort both ways."""
    table = "document.querySelectorAll('.table')[0]"
    button = f"{table}.querySelectorAll('thead th button')[1]"
    names = cells(chromium, 0, 1)
    for words, expected in (("ascending", sorted(names)), ("descending", sorted(names)[::-1])):
        chromium.ask(f"{button}.focus()")
        for kind in ("keyDown", "keyUp"):
            chromium.call("Input.dispatchKeyEvent", type=kind, key="Enter", code="Enter", text="\r",
                          windowsVirtualKeyCode=13)  # fmt: skip
        assert cells(chromium, 0, 1) == expected
        assert chromium.ask(f"{button}.parentElement.ariaSort") == words
    costs = chromium.ask(
        "[...document.querySelectorAll('table')].findIndex((t) =>"
        " t.innerText.includes('training and evaluation time') && t.tBodies[0].rows.length > 2)"
    )
    box = f"document.querySelectorAll('.table')[{costs}]"
    assert chromium.ask(f"{box}.querySelector('input').labels.length") == 0
    assert chromium.ask(f"{box}.querySelector('input').ariaLabel") == "Filter rows: Cost"
    all_rows = len(cells(chromium, costs, 0))
    chromium.ask(
        f"((i) => {{ i.value = 'TDBN'; i.dispatchEvent(new Event('input')); }})"
        f"({box}.querySelector('input'))"
    )
    assert set(cells(chromium, costs, 0)) == {"tdBN"}
    status = f"2 of {all_rows} rows"
    assert chromium.ask(f"{box}.querySelector('[role=status]').textContent") == status


def _legend_and_numbers(chromium):
    """A line can be left out, and the numbers of a chart be read."""
    figure = "document.querySelector('figure.chart:has(.mark-line)')"
    lines = f"{figure}.querySelectorAll('.view')[0].querySelectorAll('.mark-line path').length"
    before = chromium.ask(lines)
    chromium.ask(f"{figure}.querySelector('.legend button').click()")
    chromium.wait(f"{lines} === {before - 1}")
    assert chromium.ask(f"{figure}.querySelector('.legend button').ariaPressed") == "false"
    chromium.ask(f"[...{figure}.querySelectorAll('.tools button')].at(-2).click()")
    assert chromium.ask(f"{figure}.querySelectorAll('tbody tr').length") > 5
