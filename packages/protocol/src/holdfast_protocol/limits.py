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

# Bus.
PENDING_BYTES: Final = 256 * KIB
BACKLOG_BYTES: Final = 16 * MIB
HANDLERS_RUNNING: Final = 256
MESSAGES_WAITING: Final = 1024
MESSAGES_WAITING_BYTES: Final = 64 * MIB
REPLIES_WAITING: Final = 4096
FETCH_BATCH: Final = 256
SUBJECT_BYTES: Final = 1024
CONTROL_LINE_BYTES: Final = 64 * KIB
BUS_WATCH_S: Final = 1.0
BUS_PING_S: Final = 15
BUS_CONNECT_S: Final = 3
BUS_BACKOFF_MAX_S: Final = 5.0

# Identities.
CLAIMS_BYTES: Final = 256 * KIB
CSR_BYTES: Final = 16 * KIB
CREDENTIAL_BYTES: Final = 64 * KIB
CODE_BYTES: Final = 64 * KIB
CODES_OPEN: Final = 256
CODE_TTL_S_MIN: Final = 60
CODE_TTL_S_MAX: Final = 7 * 24 * 3600
ENROL_BYTES: Final = 64 * KIB
APP_CONNECTIONS: Final = 64
APP_SUBSCRIPTIONS: Final = 1024
BROKER_CONNECTIONS: Final = 8192
BROKER_PENDING_BYTES: Final = 64 * MIB
BROKER_MEMORY_STORE_BYTES: Final = 64 * MIB
BROKER_FILE_STORE_BYTES: Final = 8 * GIB

# Names.
TOKEN_LENGTH: Final = 63
JURISDICTIONS_PER_LABEL: Final = 64
ALIASES_PER_APP: Final = 64

# Numbers, texts and lists in messages. 2**53 is what JSON of every language holds exactly; the
# clock ends in the year 5138; a node's whole report stays far below what a commit may hold.
REPORT_BYTES: Final = 512 * KIB
EVENT_BYTES: Final = 16 * KIB
COUNT_MAX: Final = 2**53
CLOCK_S_MAX: Final = 1e11
WORD_LENGTH: Final = 256
SENTENCE_LENGTH: Final = 4096
NAMES_PER_LIST: Final = 256
URLS_MAX: Final = 64
DEVICES_PER_NODE: Final = 256
SLOTS_PER_NODE: Final = 1024
ROUTES_MAX: Final = 4096
GRANTS_MAX: Final = 100_000

# Policy. The parser is native code: brackets nested some seven hundred deep end the process, and
# so do some thousand nested words.
POLICY_BYTES: Final = 256 * KIB
POLICY_DEPTH: Final = 32
POLICY_STATEMENT_WORDS: Final = 1024
POLICY_WORD_BYTES: Final = 1 * KIB
POLICIES_MAX: Final = 200
POLICY_BUNDLE_BYTES: Final = 256 * KIB
POLICY_FILES: Final = 32
POLICY_LIFE_S: Final = 400 * 24 * 3600
POLICY_NODES: Final = 500
POLICY_CHECK_S: Final = 15.0
POLICY_CHECK_CPU_S: Final = 8
POLICY_CHECK_MEMORY_BYTES: Final = 1 * GIB
POLICY_CHECK_BYTES: Final = 16 * MIB
GOLDEN_CASES: Final = 1000
WHAT_IF_QUESTIONS: Final = 5000
DECISIONS_KEPT: Final = 4096
WORLDS_KEPT: Final = 1024

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
DIRECTORY_ENTRIES: Final = 4096
PROBES_MAX: Final = 64
DOCUMENT_BYTES: Final = 1 * MIB
COPY_BUFFER_BYTES: Final = 1 * MIB
FETCH_PARALLEL: Final = 4
FETCH_STALL_S: Final = 30.0

# GGUF headers, far above any published model and far below what hurts a reader.
GGUF_HEADER_BYTES: Final = 64 * MIB
GGUF_KEYS: Final = 4096
GGUF_TENSORS: Final = 16_384
GGUF_STRING_BYTES: Final = 1 * MIB
GGUF_ARRAY_ITEMS: Final = 2_000_000
GGUF_BLOCKS: Final = 512
GGUF_ALIGNMENT: Final = 4096
GATE_MEMORY_BYTES: Final = 1 * GIB
GATE_CPU_S: Final = 20
GATE_WALL_S: Final = 60.0

# Engines and devices of a node.
ENGINE_CONTEXT_MAX: Final = 1_048_576
ENGINE_PARALLEL_MAX: Final = 256
ENGINE_THREADS_MAX: Final = 256
ENGINE_HEAD_BYTES: Final = 64 * KIB
ENGINE_EVENT_BYTES: Final = 1 * MIB
ENGINE_ANSWER_BYTES: Final = 64 * MIB
ENGINE_STDERR_LINES: Final = 80
ENGINE_STDERR_LINE_BYTES: Final = 512
# A unix socket's path is at most 107 bytes and a NUL.
SOCKET_PATH_BYTES: Final = 107
SIMULATED_GPUS_MAX: Final = 64
NVML_LINE_BYTES: Final = 256 * KIB
NVML_SILENCE_S: Final = 5.0
NVML_BACKOFF_MAX_S: Final = 60.0

# Requests that wait for a second person.
REQUEST_LIFE_S: Final = 14 * 24 * 3600

# The journal. A commit fits one bus message, so that it can also travel to a standby; below the
# free space for wishes the site only finishes what it began, and the reserve pays for that.
JOURNAL_COMMIT_BYTES: Final = 1 * MIB - 64 * KIB
JOURNAL_COMMIT_RECORDS: Final = 4096
JOURNAL_QUEUE: Final = 1024
JOURNAL_READ_S: Final = 2.0
JOURNAL_COMMIT_S: Final = 30.0
JOURNAL_RESERVE_BYTES: Final = 64 * MIB
JOURNAL_WISHES_FREE_BYTES: Final = 512 * MIB
JOURNAL_WAL_ALARM_BYTES: Final = 256 * MIB
JOURNAL_CHECKPOINT_RECORDS: Final = 1000
JOURNAL_REHASH_ALL_RECORDS: Final = 200_000

# The controller. A pass of reconciling decides so much and leaves the rest to the next one.
CONTROLLER_TICK_S: Final = 0.25
CONTROLLER_INPUTS: Final = 4096
CONTROLLER_EVENTS_KEPT: Final = 10_000
RECONCILE_BUDGET: Final = 64
RECONCILE_PASSES: Final = 8
RECONCILE_EVERY_S: Final = 0.05
RECONCILE_AT_LEAST_S: Final = 1.0
REPLACE_LOST_AFTER_S: Final = 10.0
REPLACE_FAILED_AFTER_S: Final = 20.0
STAMP_EVERY_S: Final = 3600.0
RETRY_MIN_S: Final = 0.25
RETRY_MAX_S: Final = 30.0
IMPORTER_ANSWER_S: Final = 60.0
MINTER_ANSWER_S: Final = 30.0
PUBLISH_ANSWER_S: Final = 10.0
PUBLISH_RETRY_S: Final = 1.0
REQUESTS_OPEN: Final = 1000
DEPLOYMENTS_MAX: Final = 1000
REPLICAS_PER_ZONE: Final = 64
DEVICE_RESERVE_BYTES: Final = 64 * MIB
DESIRED_STREAM_BYTES: Final = 256 * MIB
EVENT_STREAM_BYTES: Final = 256 * MIB
EVENT_STREAM_AGE_S: Final = 30 * 24 * 3600
EVENT_BATCH: Final = 64
EVENT_WAIT_S: Final = 5.0
EFFECTS_RUNNING: Final = 64
CLOCK_JUMP_S: Final = 2.0

# The spool of a node: events that wait for the site.
SPOOL_EVENTS: Final = 10_000
