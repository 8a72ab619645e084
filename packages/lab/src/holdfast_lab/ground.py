"""What a lab needs of the machine before it starts: its ports, and folders of its user alone.

Asked before any program starts, because afterwards each would fail by itself, again and again.
"""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

from holdfast_protocol.errors import Code, HoldfastError

from holdfast_lab.layout import Layout
from holdfast_lab.site_file import SiteFile


def check(layout: Layout, site: SiteFile) -> None:
    """Make the runtime folder; raises ``CONFIG_INVALID`` where the site cannot start here."""
    private_folder(layout.runtime)
    check_ports(site)


def private_folder(path: Path) -> None:
    """Make ``path`` or take it as it is, if it belongs to this user alone.

    Its name can be guessed and lies where others may write: one that somebody else made before us
    would let them answer in place of our programs. Raises ``CONFIG_INVALID``.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = path.lstat()
    except OSError as error:
        raise HoldfastError(
            Code.CONFIG_INVALID, f"The folder {path} cannot be made: {error.strerror}."
        ) from error
    ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()
    if not ours or found.st_mode & 0o077:
        raise HoldfastError(
            Code.CONFIG_INVALID, f"The folder {path} is not this user's alone (mode 0700)."
        )


def check_ports(site: SiteFile) -> None:
    """Raise ``CONFIG_INVALID`` naming the port of ``site`` that another program listens on."""
    wanted = {site.range_port: "the range server"}
    for zone, ports in site.brokers.items():
        wanted[ports.client] = f"the broker of {zone}"
        if zone == site.zone:
            wanted[ports.leaf] = f"the broker of {zone}"
    for port, what in sorted(wanted.items()):
        with socket.socket() as probe:
            # As the programs do: what only closed a moment ago is no obstacle.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                raise HoldfastError(
                    Code.CONFIG_INVALID,
                    f"Port {port} of {what} is used by another program; it was chosen when the "
                    "site was founded.",
                ) from error
