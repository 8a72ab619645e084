"""For the agent's child programs: end with the agent, however it ends.

Imports nothing of the product, so that the engine's sandbox can show little.
"""

from __future__ import annotations

import ctypes
import os
import signal
from typing import Final

ORPHANED: Final = 4
_PR_SET_PDEATHSIG: Final = 1


def die_with_parent(parent_pid: int) -> None:
    """Have the kernel kill this process when ``parent_pid`` ends; exit if it already has.

    The signal is tied to the parent's thread that spawned us: the agent spawns from its loop.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent_pid:
        os._exit(ORPHANED)
