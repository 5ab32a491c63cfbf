from __future__ import annotations

import numpy as np
import pytest

from uncollapse.errors import UserError
from uncollapse.features.identity import Identity


def test_it_has_a_name_and_refuses_images() -> None:
    identity = Identity(7)
    assert (identity.name, identity.width, identity.standard, identity.reusable) == ("identity", 7, False, False)
    assert identity.digest == Identity().digest
    with pytest.raises(UserError, match="not images; choose pixels"):
        identity.extract([np.zeros((2, 2), np.uint8)])
