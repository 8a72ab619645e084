"""How long signed files live, in seconds. Dates stop new loads and grants, never what runs."""

from __future__ import annotations

from typing import Final

DAY_S: Final = 24 * 3600

ROOT_LIFE_S: Final = 3 * 365 * DAY_S
FRAME_LIFE_S: Final = 400 * DAY_S
APPROVAL_LIFE_S: Final = 400 * DAY_S
APPROVAL_LIFE_MAX_S: Final = 3 * 365 * DAY_S
# An expired denial still counts as a denial, so its date must never be what a site waits for.
DENIAL_LIFE_S: Final = 20 * 365 * DAY_S
# The timestamp enforces timeliness; a shorter life of the snapshot would buy nothing more.
SNAPSHOT_LIFE_S: Final = 30 * DAY_S
TIMESTAMP_LIFE_S: Final = DAY_S
CLOCK_SLACK_S: Final = 600
