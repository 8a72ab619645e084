"""What ``?`` shows; a test holds it against the keys."""

from __future__ import annotations

from typing import Final

HELP: Final[tuple[str, ...]] = (
    "",
    "  1 overview and nodes   2 GPUs       3 models",
    "  4 deployments          5 requests   6 events",
    "  : NAME     go to a screen by its name        : quit   leave",
    "  / TEXT     show only rows with TEXT          Esc      show all again",
    "  j k g G    down, up, first, last; arrows, PgUp, PgDn, Home, End too",
    "  Enter d    everything about the selected row",
    "  p          hold the view still, and go on",
    "  q          leave, after a question           Ctrl+Q   leave at once",
    "",
    "  Marks:  * under way   ^ look at it   ! broken or denied   x down or lost",
    "          ? not heard or not known     - ended or withdrawn",
    "  STALE is what was well and is not heard any more; it never counts as OK.",
    "  FROZEN with states in (brackets): the link to the controller is lost.",
    "",
    "  Nothing here changes the site. To act, use the command beside it:",
    "  holdfast deploy, undeploy, import, approve, reject, app (each with --help).",
)
