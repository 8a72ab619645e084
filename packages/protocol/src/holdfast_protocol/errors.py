"""The one table of error codes: exit code, HTTP-like status and what to do next.

Help, documentation and the programs are made from this table; ``docs/guides/errors.md`` is
compared with it by a test. Exit codes are the command contract's: 2 usage, 3 refused,
4 verification failed, 5 not available or too late, 1 a defect.
"""

from __future__ import annotations

import enum
from typing import Final, NamedTuple


class Code(enum.StrEnum):
    """A stable name for one way in which something did not happen."""

    # verification (4)
    BLOB_DIGEST = "BLOB_DIGEST"
    BLOB_MISSING = "BLOB_MISSING"
    BAD_SIGNATURE = "BAD_SIGNATURE"
    METADATA_EXPIRED = "METADATA_EXPIRED"
    METADATA_ROLLBACK = "METADATA_ROLLBACK"
    METADATA_MALFORMED = "METADATA_MALFORMED"
    METADATA_MISSING = "METADATA_MISSING"
    MANIFEST_INVALID = "MANIFEST_INVALID"
    FORMAT_REFUSED = "FORMAT_REFUSED"
    BUNDLE_MISSING = "BUNDLE_MISSING"
    UNSIGNED = "UNSIGNED"
    BOM_INVALID = "BOM_INVALID"
    LICENSE_INVALID = "LICENSE_INVALID"
    REPOS_DISAGREE = "REPOS_DISAGREE"
    SITE_BINDING = "SITE_BINDING"
    CLOCK_BEHIND = "CLOCK_BEHIND"
    PROBE_FAILED = "PROBE_FAILED"
    JOURNAL_DAMAGED = "JOURNAL_DAMAGED"
    JOURNAL_ROLLBACK = "JOURNAL_ROLLBACK"
    JOURNAL_NEWER = "JOURNAL_NEWER"
    # refused (3)
    SIGNED_ALREADY = "SIGNED_ALREADY"
    NOT_AN_OFFICER = "NOT_AN_OFFICER"
    OTHER_BYTES = "OTHER_BYTES"
    NOT_PERMITTED = "NOT_PERMITTED"
    NOT_APPROVED = "NOT_APPROVED"
    NOT_GRANTED = "NOT_GRANTED"
    DENIED_MODEL = "DENIED_MODEL"
    NO_LEGAL_PLACEMENT = "NO_LEGAL_PLACEMENT"
    NO_FITTING_NODE = "NO_FITTING_NODE"
    VENDOR_UNKNOWN = "VENDOR_UNKNOWN"
    VERSION_REUSED = "VERSION_REUSED"
    REQUEST_CLOSED = "REQUEST_CLOSED"
    REQUEST_PENDING = "REQUEST_PENDING"
    LABEL_REFUSED = "LABEL_REFUSED"
    PATH_REFUSED = "PATH_REFUSED"
    TICKET_REFUSED = "TICKET_REFUSED"
    OPERATION_UNSUPPORTED = "OPERATION_UNSUPPORTED"
    PLAN_STALE = "PLAN_STALE"
    POLICY_EXPIRED = "POLICY_EXPIRED"
    POLICY_INVALID = "POLICY_INVALID"
    POLICY_WIDENS = "POLICY_WIDENS"
    CODE_REFUSED = "CODE_REFUSED"
    CODE_USED = "CODE_USED"
    CODE_EXPIRED = "CODE_EXPIRED"
    # usage (2)
    BAD_NAME = "BAD_NAME"
    BAD_REQUEST = "BAD_REQUEST"
    NOT_FOUND = "NOT_FOUND"
    ALREADY_EXISTS = "ALREADY_EXISTS"
    TOO_LARGE = "TOO_LARGE"
    CONFIG_INVALID = "CONFIG_INVALID"
    SITE_UNKNOWN = "SITE_UNKNOWN"
    # not available or too late (5)
    CONTROLLER_DOWN = "CONTROLLER_DOWN"
    BROKER_DOWN = "BROKER_DOWN"
    NOT_LOADED = "NOT_LOADED"
    BUSY = "BUSY"
    DEADLINE = "DEADLINE"
    CANCELLED = "CANCELLED"
    NODE_DIED = "NODE_DIED"
    ENGINE_FAILED = "ENGINE_FAILED"
    STORE_FAILED = "STORE_FAILED"
    JOURNAL_HELD = "JOURNAL_HELD"
    DISK_FULL = "DISK_FULL"
    MEDIA_LOST = "MEDIA_LOST"
    TRUST_STALE = "TRUST_STALE"
    VRAM_DRIFT = "VRAM_DRIFT"
    SITE_DOWN = "SITE_DOWN"
    IMPORT_FAILED = "IMPORT_FAILED"
    # a defect (1)
    DEFECT = "DEFECT"


class Meaning(NamedTuple):
    """What a code means: exit code, status for applications (HTTP's numbers), next action."""

    exit_code: int
    status: int
    next: str


TABLE: Final[dict[Code, Meaning]] = {
    Code.BLOB_DIGEST: Meaning(4, 422, "Ask the vendor for a fresh copy of the named file."),
    Code.BLOB_MISSING: Meaning(
        4, 422, "Insert the medium that holds the named file, or copy the bundle again."
    ),
    Code.BAD_SIGNATURE: Meaning(
        4, 422, "Do not use this bundle; compare the vendor's root with the one you trust."
    ),
    Code.METADATA_EXPIRED: Meaning(
        4, 422, "Ask the vendor to re-issue the named file; the weights need not travel again."
    ),
    Code.METADATA_ROLLBACK: Meaning(
        4, 422, "An older bundle was offered than one already seen; use the newer one."
    ),
    Code.METADATA_MALFORMED: Meaning(
        4, 422, "Copy the bundle again; if it stays so, do not trust its source."
    ),
    Code.METADATA_MISSING: Meaning(4, 422, "Copy the bundle again, with its whole tuf folder."),
    Code.MANIFEST_INVALID: Meaning(4, 422, "Ask the vendor to build the bundle again."),
    Code.FORMAT_REFUSED: Meaning(
        4, 422, "Only GGUF weights with a well-formed header are accepted; rebuild the model file."
    ),
    Code.BUNDLE_MISSING: Meaning(
        4, 422, "Name the folder that holds modelbundle, as the stick was mounted."
    ),
    Code.UNSIGNED: Meaning(4, 422, "Sign it first: holdfast bundle sign STICK --keys KEYS."),
    Code.BOM_INVALID: Meaning(
        4, 422, "Ask the vendor for a bill of materials that matches the files."
    ),
    Code.LICENSE_INVALID: Meaning(2, 422, "Give an SPDX expression, for example Apache-2.0."),
    Code.REPOS_DISAGREE: Meaning(
        4,
        422,
        "Vendor and site name different bytes; find out which is right before anything loads.",
    ),
    Code.SITE_BINDING: Meaning(
        4, 422, "The file belongs to another site or role; use this site's own."
    ),
    Code.CLOCK_BEHIND: Meaning(
        4, 422, "Set the clock of this machine; it is behind what has been signed already."
    ),
    Code.PROBE_FAILED: Meaning(
        4, 422, "The model does not answer as its vendor signed; do not deploy it, ask the vendor."
    ),
    Code.JOURNAL_DAMAGED: Meaning(
        4, 500, "Stop, keep the files, and restore the journal from a backup."
    ),
    Code.JOURNAL_ROLLBACK: Meaning(
        4, 500, "Put the newest copy of the journal back; an older one is never followed."
    ),
    Code.JOURNAL_NEWER: Meaning(
        4, 500, "Start the version of Holdfast that wrote this journal, or a newer one."
    ),
    Code.SIGNED_ALREADY: Meaning(
        3, 409, "Another officer must approve: holdfast approve ID --as OFFICER."
    ),
    Code.NOT_AN_OFFICER: Meaning(3, 403, "Sign with the daily key of an officer of this site."),
    Code.OTHER_BYTES: Meaning(3, 409, "Fetch the request again and sign what it shows now."),
    Code.NOT_PERMITTED: Meaning(3, 403, "Ask someone whose role may do this."),
    Code.NOT_APPROVED: Meaning(3, 403, "Import the bundle and let two officers approve it first."),
    Code.NOT_GRANTED: Meaning(3, 403, "Ask an officer to grant this alias to the application."),
    Code.DENIED_MODEL: Meaning(
        3, 403, "An officer denied this model; only the site's officers together can lift that."
    ),
    Code.NO_LEGAL_PLACEMENT: Meaning(
        3, 403, "Deploy the alias in a zone where this application's data may be."
    ),
    Code.NO_FITTING_NODE: Meaning(
        3, 409, "Free memory or add a node in the zone: holdfast explain ALIAS."
    ),
    Code.VENDOR_UNKNOWN: Meaning(
        3, 403, "Let two officers trust the vendor first: holdfast vendor trust V ROOT.json."
    ),
    Code.VERSION_REUSED: Meaning(
        3, 409, "The same version was approved with other bytes; ask the vendor for a new version."
    ),
    Code.REQUEST_CLOSED: Meaning(3, 409, "Make a new request; this one is decided."),
    Code.REQUEST_PENDING: Meaning(
        3, 409, "Wait for or reject the open request for the same thing: holdfast requests."
    ),
    Code.LABEL_REFUSED: Meaning(
        3, 403, "A request may narrow what the application's record allows, never widen it."
    ),
    Code.PATH_REFUSED: Meaning(3, 403, "Name a folder below one of the site's media roots."),
    Code.TICKET_REFUSED: Meaning(
        3, 403, "Ask the controller again; the ticket is for another node, digest or time."
    ),
    Code.OPERATION_UNSUPPORTED: Meaning(
        3, 501, "Use an alias whose model does this: embed, or chat and complete."
    ),
    Code.PLAN_STALE: Meaning(3, 409, "The site has changed since the plan was made; plan again."),
    Code.POLICY_EXPIRED: Meaning(3, 403, "Officers must bring a current policy."),
    Code.POLICY_INVALID: Meaning(
        3, 403, "Correct the policy where the message says; nothing was changed."
    ),
    Code.POLICY_WIDENS: Meaning(
        3, 409, "Name each of them with --acknowledge where it is meant: holdfast policy what-if."
    ),
    Code.CODE_REFUSED: Meaning(
        3, 403, "Ask an officer for a new code: holdfast node code NAME --zone ZONE."
    ),
    Code.CODE_USED: Meaning(
        3, 409, "If you did not use it yourself, tell an officer to reject the request it made."
    ),
    Code.CODE_EXPIRED: Meaning(
        3, 403, "Ask an officer for a new code: holdfast node code NAME --zone ZONE."
    ),
    Code.BAD_NAME: Meaning(2, 400, "Use lower-case letters, digits and hyphens, at most 63."),
    Code.BAD_REQUEST: Meaning(2, 400, "Correct the request; the message says which part."),
    Code.NOT_FOUND: Meaning(
        2, 404, "List what there is: holdfast nodes, models, deployments or requests."
    ),
    Code.ALREADY_EXISTS: Meaning(2, 409, "Choose another name, or remove the existing one first."),
    Code.TOO_LARGE: Meaning(2, 413, "Send less; the message says how much is allowed."),
    Code.CONFIG_INVALID: Meaning(2, 400, "Correct the named setting."),
    Code.SITE_UNKNOWN: Meaning(
        2, 404, "Name the site's folder with --site, or start one: holdfast lab up."
    ),
    Code.CONTROLLER_DOWN: Meaning(5, 503, "See whether the site runs: holdfast lab status."),
    Code.BROKER_DOWN: Meaning(
        5,
        503,
        "See whether the broker runs: holdfast lab status; programs reconnect alone.",
    ),
    Code.NOT_LOADED: Meaning(5, 503, "Wait until the deployment is ready: holdfast deployments."),
    Code.BUSY: Meaning(5, 429, "Try again after the hint in Hf-Retry-Ms."),
    Code.DEADLINE: Meaning(5, 504, "Give the request more time, or a shorter input."),
    Code.CANCELLED: Meaning(5, 499, "Nothing: the application cancelled the request."),
    Code.NODE_DIED: Meaning(
        5, 502, "Send the request again; another replica answers if there is one."
    ),
    Code.ENGINE_FAILED: Meaning(5, 502, "See holdfast events; the agent restarts the engine."),
    Code.STORE_FAILED: Meaning(5, 500, "Look at the disk of the controller; nothing was decided."),
    Code.JOURNAL_HELD: Meaning(
        5, 503, "Stop the other controller first; a journal has one writer."
    ),
    Code.DISK_FULL: Meaning(5, 507, "Free space below the site's folder and try again."),
    Code.MEDIA_LOST: Meaning(
        5, 503, "Insert the stick again and repeat the import; it goes on where it stopped."
    ),
    Code.TRUST_STALE: Meaning(
        5, 503, "Let the node reach the controller; new models wait until its trust is fresh."
    ),
    Code.VRAM_DRIFT: Meaning(
        5, 409, "Another process holds the memory; free it or wait for the new plan."
    ),
    Code.SITE_DOWN: Meaning(5, 503, "Start the site: holdfast lab up."),
    Code.IMPORT_FAILED: Meaning(
        5, 500, "Repeat the import; if it fails again, see holdfast events."
    ),
    Code.DEFECT: Meaning(1, 500, "This is a defect; keep the output and report it."),
}


class HoldfastError(Exception):
    """An expected or environmental failure with a stable code; never a bug.

    ``message`` is one sentence on what happened, naming the thing; ``file`` names the file of a
    bundle where there is one. The next action comes from the table.
    """

    def __init__(self, code: Code, message: str, *, file: str | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.file = file

    @property
    def next(self) -> str:
        """What the operator does next, one sentence."""
        return TABLE[self.code].next

    @property
    def exit_code(self) -> int:
        """Exit code of a command that ends with this error."""
        return TABLE[self.code].exit_code

    @property
    def status(self) -> int:
        """Status for applications, HTTP's numbers (``Hf-Status``)."""
        return TABLE[self.code].status
