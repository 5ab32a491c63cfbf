from __future__ import annotations

import pytest

from uncollapse.report.evaluation_exhibits import Uncovered


@pytest.mark.parametrize(
    ("found", "surplus"),
    [
        (Uncovered(share=0.1, expected=0.08, beyond_chance=False), False),  # more, and chance may explain it
        (Uncovered(share=0.1, expected=0.03, beyond_chance=True), True),
        (Uncovered(share=0.1, expected=0.03), True),  # files of old have no test
        (Uncovered(share=0.02, expected=0.03), False),
        (Uncovered(), True),
    ],
)
def test_real_rows_are_lost_only_beyond_chance(found: Uncovered, surplus: bool) -> None:
    assert found.surplus is surplus
