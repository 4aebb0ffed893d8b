"""Expandable segments of PyTorch's GPU allocator: whether an attempt runs with them, and switching them on.

The allocator takes blocks from the driver and splits them. A free piece of a block whose other pieces are in use can
serve a smaller tensor only, and is never given back (*inactive split*). Where much of what is reserved lies in such
pieces, segments that grow and shrink page by page can use it; where little does, memory is simply full of tensors, and
no setting helps. No number changes by it.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterable, Mapping
from typing import Any

log = logging.getLogger(__name__)

AUTO, NEVER, ALWAYS = "auto", "never", "always"
VARIABLE = "PYTORCH_ALLOC_CONF"
# Names it had before, which win where they are set as well.
_OLDER = ("PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_HIP_ALLOC_CONF")
_OPTION = "expandable_segments"
SPLIT_SHARE = 0.1
"""Of what was reserved when memory ran out: the least share in split blocks at which `AUTO` takes expandable segments.

Below it they could not have won much more than the least step down the ladder does.
"""


def why_expandable(choice: str, earlier: Iterable[Mapping[str, Any]]) -> str:
    """Say why an attempt runs with expandable segments; an empty text if it does not.

    Parameters
    ----------
    choice
        Setting `memory.expandable_segments`: ``auto``, ``never`` or ``always``.
    earlier
        What the ledgers of the attempts that ran out of memory, or had to look for it (`retries`), say of the GPU: see
        `longtake.memory.meter.gpu_state`.
    """
    if choice == ALWAYS:
        return f"memory.expandable_segments is {ALWAYS}"
    if choice == NEVER:
        return ""
    for gpu in earlier:
        share = float(gpu.get("split_share", 0.0))
        if share >= SPLIT_SHARE and (gpu.get("ooms", 0) or gpu.get("retries", 0)):
            return f"{100 * share:.0f} % of the GPU memory of an earlier attempt lay in split blocks"
    return ""


def expand_segments() -> None:
    """Switch expandable segments on for this process, and leave what else its user has set of the allocator.

    The allocator reads its variable when it is first asked for anything, so this must come before the process starts
    the GPU. Where PyTorch is loaded, it may have read it already, and is told as well.
    """
    given = next(filter(None, map(os.environ.get, (*_OLDER, VARIABLE))), "")
    options = [option for option in given.split(",") if option and not option.strip().startswith(_OPTION)]
    for name in _OLDER:
        os.environ.pop(name, None)
    os.environ[VARIABLE] = ",".join([*options, f"{_OPTION}:True"])
    torch: Any = sys.modules.get("torch")
    if torch is not None:
        torch._C._accelerator_setAllocatorSettings(os.environ[VARIABLE])
    log.info("%s=%s", VARIABLE, os.environ[VARIABLE])
