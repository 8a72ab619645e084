"""The bus: a small port, its adapter for nats-py, and a fake that passes the same tests."""

from holdfast_protocol.bus import natslib as natslib
