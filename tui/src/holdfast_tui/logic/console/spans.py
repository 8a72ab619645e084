"""Lines as pieces of text, each with the kind of news it is."""

from __future__ import annotations

from typing import NamedTuple

from holdfast_tui.logic.console.standing import Kind


class Span(NamedTuple):
    """A piece of a line; kinds are colours only where there are any."""

    text: str
    kind: Kind = "plain"


Line = tuple[Span, ...]
