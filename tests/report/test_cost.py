"""Numbers in the tables of costs."""

import pytest

from eibench.report.model.cost import prefix, significant


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (940, "940"), (2.359, "2.36"), (0.03714, "0.0371"), (999.7, "1000"), (9.999, "10.0"),
     (12.34, "12.3"), (0.00099996, "0.00100")],
)  # fmt: skip
def test_three_digits_without_an_exponent(number, text):
    assert significant(number) == text


@pytest.mark.parametrize(
    ("number", "sign", "size"),
    [(0, "", 1), (1, "", 1), (999, "", 1), (999.7, "k", 1e3), (2e6, "M", 1e6), (4e15, "T", 1e12),
     (0.0294, "m", 1e-3), (3e-7, "n", 1e-9), (1e-20, "p", 1e-12)],
)  # fmt: skip
def test_prefixes(number, sign, size):
    assert prefix(number) == (sign, pytest.approx(size))
