"""The closed union of facts: everything that can stand in the journal.

Stored bytes are never rewritten, so a shape is for ever: a field may be added with a default,
anything else is a new tag. ``tests/unit/controller/golden`` holds one record of each as written
by the first version that knew it.
"""

from __future__ import annotations

from holdfast_controller.logic.facts.apps import (
    AppAsked,
    AppGranted,
    AppMinted,
    ClaimsConfirmed,
)
from holdfast_controller.logic.facts.enrolment import (
    NodeAsked,
    NodeCodeMade,
    NodeCodeMinted,
    NodeMinted,
)
from holdfast_controller.logic.facts.fleet import (
    EventRecorded,
    NodeCordoned,
    NodeLost,
    NodeReturned,
    NodeSeen,
    NodeUncordoned,
)
from holdfast_controller.logic.facts.models import (
    ImportFailed,
    ImportPaused,
    ImportStarted,
    ImportWaiting,
    ModelAllowed,
    ModelCommitted,
    ModelDiscarded,
    ModelQuarantined,
)
from holdfast_controller.logic.facts.serving import (
    DeploymentWished,
    DeploymentWithdrawn,
    ReplicaGone,
    ReplicaPlaced,
    ReplicaWithdrawn,
    RouteChanged,
    SlotChanged,
)
from holdfast_controller.logic.facts.site import (
    ControllerStarted,
    DenialLifted,
    Denied,
    LeaderTaken,
    NodeCertified,
    PolicyAdopted,
    RequestCommitted,
    RequestExpired,
    RequestMade,
    RequestRejected,
    RequestSigned,
    RoleFileAccepted,
    SiteFounded,
    TrustStamped,
    VendorTrusted,
)

AnyFact = (
    SiteFounded | ControllerStarted | LeaderTaken | RoleFileAccepted | TrustStamped
    | NodeCertified | VendorTrusted | PolicyAdopted | Denied | DenialLifted
    | RequestMade | RequestSigned | RequestCommitted | RequestRejected | RequestExpired
    | ImportStarted | ImportPaused | ImportFailed | ModelQuarantined | ImportWaiting
    | ModelAllowed | ModelCommitted | ModelDiscarded
    | NodeSeen | NodeLost | NodeReturned | NodeCordoned | NodeUncordoned
    | EventRecorded
    | NodeCodeMade | NodeCodeMinted | NodeAsked | NodeMinted
    | DeploymentWished | DeploymentWithdrawn | ReplicaPlaced | ReplicaWithdrawn | ReplicaGone
    | SlotChanged | RouteChanged
    | AppAsked | AppGranted | AppMinted | ClaimsConfirmed
)  # fmt: skip
