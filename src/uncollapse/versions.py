"""What ran: versions and machine, for records and for the doctor."""

from __future__ import annotations

import platform
from importlib import metadata

import torch

from uncollapse.errors import UserError
from uncollapse.version import __version__


def versions() -> dict[str, str]:
    """Versions of what numbers may depend on."""
    return {
        "uncollapse": __version__,
        "torch": torch.__version__,
        "numpy": metadata.version("numpy"),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def choose_device(device: str) -> torch.device:
    """The device of a name; ``"auto"`` is CUDA where there is one.

    Raises:
        UserError: The device is not known or not there.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise UserError(f"There is no device {device!r}; choose auto, cpu or cuda.") from error
    if chosen.type not in ("cpu", "cuda") or (chosen.type == "cuda" and not torch.cuda.is_available()):
        raise UserError(f"Device {device!r} is not available here; choose auto or cpu.")
    return chosen
