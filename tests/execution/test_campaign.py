"""The cost of a campaign beside training grows with the number of its runs, and no faster."""

import pytest
from campaign_cost import STEPS, campaign


@pytest.mark.slow
def test_costs_grow_in_proportion():
    small, large = campaign(150), campaign(600)
    assert large["files"] == 4 * (small["files"] - 1) + 1  # the plan is one file
    for step in STEPS:
        assert large[step] < 6 * small[step] + 1, step  # 16 times where it is quadratic
