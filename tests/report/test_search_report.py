"""What `eibench report` says of a search: its winners, budgets, knobs and trials."""

from eibench.report.searches import read_searches


def test_a_search_is_read(fair_search):
    (search,) = read_searches([fair_search.folder])
    assert [study.best.number for study in search.studies] == [1, 1]
    assert [len(search.confirmed_runs(study)) for study in search.studies] == [3, 3]
    assert search.confirmed_runs(search.studies[0])[0].number("validation_accuracy") == 96.1
