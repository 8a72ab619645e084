"""Writes the tables of the guides from the program's own: errors, subjects, API calls.

``python tools/docs/tables.py`` writes them; ``tests/tidy`` compares, so that they stay true.
"""

from __future__ import annotations

from pathlib import Path

from holdfast_protocol import api, subjects
from holdfast_protocol.errors import TABLE

GUIDES = Path(__file__).resolve().parents[2] / "docs" / "guides"
NOTE = "<!-- Written by tools/docs/tables.py; change the program, then run it again. -->\n\n"


def errors() -> str:
    """The guide of error codes."""
    rows = [
        f"| `{code}` | {meaning.exit_code} | {meaning.status} | {meaning.next} |"
        for code, meaning in sorted(TABLE.items())
    ]
    head = (
        "# Error codes\n\n" + NOTE + "Commands end with the exit code; applications see the code"
        " in `Hf-Code` and the status in `Hf-Status`.\n\n"
        "| code | exit | status | what to do next |\n|---|---|---|---|\n"
    )
    return head + "\n".join(rows) + "\n"


def subject_table() -> str:
    """The guide of subjects."""
    rows = [f"| `{subject}` | {what} |" for subject, what in subjects.DOCUMENTED.items()]
    return (
        "# Subjects\n\n"
        + NOTE
        + "| subject | from, to, what |\n|---|---|\n"
        + "\n".join(rows)
        + "\n"
    )


def calls() -> str:
    """The guide of the controller's API."""
    rows = [
        f"| `{name}` | `{call.body.__name__}` | `{call.answer.__name__}` |"
        f" {', '.join(call.roles)} |"
        for name, call in sorted(api.CALLS.items())
    ]
    head = (
        "# The controller's API\n\n" + NOTE + "On `hf.v1.api.<who>.<resource>.<verb>`, JSON. The"
        " broker lets a user publish under its own name only; the controller checks the role.\n\n"
        "| call | body | answer | roles |\n|---|---|---|---|\n"
    )
    return head + "\n".join(rows) + "\n"


PAGES = {"errors.md": errors, "subjects.md": subject_table, "api.md": calls}


def main() -> None:
    """Write every page."""
    for name, page in PAGES.items():
        (GUIDES / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
