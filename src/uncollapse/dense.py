"""What an array shows is what it holds: masked, sparse and empty ones are refused before their numbers are taken.

NumPy and torch hand over the numbers below a mask as if they were good ones. Imports no torch.
"""

from __future__ import annotations

import numpy as np

from uncollapse.errors import UserError


def check_dense(given: object, place: str) -> None:
    """Refuses an array with masked entries, a sparse tensor, and one that has a shape and no numbers.

    Args:
        given: What the user gave; anything else than such an array passes.
        place: How messages call it.

    Raises:
        UserError: It is one of these.
    """
    if isinstance(given, np.ma.MaskedArray) and np.ma.is_masked(given):
        hidden = int(np.ma.getmaskarray(given).sum())
        raise UserError(
            f"{place} is a masked array of which {hidden:,} entries are masked, and what is below the mask would "
            "count; leave those rows out, or fill them with its filled()."
        )
    layout = str(getattr(given, "layout", "torch.strided"))
    if layout.startswith("torch.sparse"):
        raise UserError(f"{place} is a sparse tensor ({layout}); give its to_dense().")
    if str(getattr(given, "device", "")) == "meta":
        raise UserError(f"{place} is a tensor without numbers (device meta); give one that holds them.")
