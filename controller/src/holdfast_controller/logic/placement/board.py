"""Several placements in a row: what one took is gone for the next."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from holdfast_controller.logic.placement.candidates import Candidate
from holdfast_controller.logic.placement.choose import Choice, Decision, Need, choose


class Board:
    """The candidates of one pass, and what was given away of them."""

    def __init__(self, candidates: Sequence[Candidate]) -> None:
        self._candidates = {each.node: each for each in candidates}

    def take(self, need: Need, moving: tuple[str, str] | None = None) -> Decision:
        """Return where ``need`` goes and take that room away.

        ``moving`` is (node, alias) of a replica that gives way to this one: it does not stand in
        the way of another device of its own node.
        """
        shown = dict(self._candidates)
        if moving is not None and moving[0] in shown:
            node, alias = moving
            shown[node] = replace(shown[node], aliases=shown[node].aliases - {alias})
        decision = choose(need, list(shown.values()))
        if decision.choice is not None:
            self._give_away(need.alias, decision.choice)
        return decision

    def _give_away(self, alias: str, choice: Choice) -> None:
        candidate = self._candidates[choice.node]
        rooms = tuple(
            replace(room, free_bytes=room.free_bytes - choice.claim_bytes)
            if room.uuid == choice.device
            else room
            for room in candidate.rooms
        )
        self._candidates[choice.node] = replace(
            candidate, rooms=rooms, aliases=candidate.aliases | {alias}
        )
