"""Imports nats-py without aiohttp.

nats-py imports aiohttp for WebSockets if it is installed; no program of ours speaks them, and the
import is a third of a command's start (0.2 s measured). An aiohttp that is imported already is
left alone, and a later import of it works as ever.
"""

from __future__ import annotations

import sys

_hidden = "aiohttp" not in sys.modules
if _hidden:
    sys.modules["aiohttp"] = None  # type: ignore[assignment]  # how Python marks "not importable"
try:
    import nats.aio.transport  # noqa: F401  (for its effect: it binds aiohttp once, as absent)
finally:
    if _hidden:
        del sys.modules["aiohttp"]
