"""Every bound of the product in one place: a queue or message without a bound is a defect."""

from __future__ import annotations

from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * KIB
GIB: Final = 1024 * MIB

# Messages. The broker's max_payload is above the request cap, so that ours is the error an
# application sees; 64 KiB stay spare because nats-py does not count headers before it sends.
BROKER_PAYLOAD_BYTES: Final = 8 * MIB
REQUEST_BYTES: Final = BROKER_PAYLOAD_BYTES - 64 * KIB
HEADER_LINES: Final = 64
HEADER_BYTES: Final = 64 * KIB
LOCAL_FRAME_BYTES: Final = 16 * MIB
LOCAL_CONNECTIONS: Final = 64
LOCAL_WRITE_S: Final = 10.0
JSON_DEPTH: Final = 32

# Names.
TOKEN_LENGTH: Final = 63
JURISDICTIONS_PER_LABEL: Final = 64
ALIASES_PER_APP: Final = 64

# Inference.
DEADLINE_MS_CAP: Final = 600_000
KEEP_ALIVE_S: Final = 2.0
KEEP_ALIVES_MISSED_MAX: Final = 3
COALESCE_S: Final = 0.03
FORWARD_ACK_S: Final = 0.5
FORWARD_HOPS_MAX: Final = 4
TICKET_LIFE_S: Final = 5
HOLD_PER_SLOT: Final = 2
SEEN_REQUESTS: Final = 10_000
RESPONSE_THRESHOLD_S: Final = 3600

# Fleet.
REPORT_EVERY_S: Final = 1.0
NODE_LATE_AFTER_S: Final = 2.5
NODE_DOWN_AFTER_S: Final = 5.0
DESIRED_POLL_S: Final = 30.0
DESIRED_BYTES: Final = 4 * MIB

# Trust metadata (TUF), as python-tuf's own defaults or tighter.
ROOT_BYTES: Final = 512 * KIB
TIMESTAMP_BYTES: Final = 16 * KIB
SNAPSHOT_BYTES: Final = 2 * MIB
TARGETS_BYTES: Final = 5 * MIB
BIN_BYTES: Final = 1 * MIB
MANIFEST_BYTES: Final = 1 * MIB
METADATA_FILES: Final = 64
METADATA_TOTAL_BYTES: Final = 32 * MIB
MODEL_FILES: Final = 4096

# Media and blobs.
PART_BYTES: Final = 1 * GIB
CHUNK_BYTES: Final = 64 * MIB
NAME_LENGTH: Final = 100
PATH_DEPTH: Final = 8

# Requests that wait for a second person.
REQUEST_LIFE_S: Final = 14 * 24 * 3600
