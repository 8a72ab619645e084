"""The site's trust: what its officers signed, and how a node comes to believe it."""

from holdfast_bundles.site.client import SiteTrust, load_view
from holdfast_bundles.site.entries import Allowed, Entry, Trusted
from holdfast_bundles.site.fetch import Fetch, Unreachable
from holdfast_bundles.site.frame import Frame, FrameSpec, build_frame, load_frame
from holdfast_bundles.site.judgement import Verdict, may_load
from holdfast_bundles.site.keyfile import read_key, write_key
from holdfast_bundles.site.keys import (
    Ed25519Key,
    SigningKey,
    generate_key,
    keyid,
    load_key,
    officer,
)
from holdfast_bundles.site.marks import Marks
from holdfast_bundles.site.model import (
    AppRecord,
    Approval,
    Denial,
    Officer,
    Proposal,
    RequestSignature,
    SiteCertificate,
    within_defaults,
)
from holdfast_bundles.site.names import (
    allow_target,
    app_target,
    bin_of,
    deny_target,
    node_target,
    vendor_target,
)
from holdfast_bundles.site.online import Previous, previous, stamp
from holdfast_bundles.site.outcome import Outcome, Refresh
from holdfast_bundles.site.propose import (
    Standing,
    propose_allow,
    propose_app,
    propose_deny,
    propose_node,
    propose_policy,
    propose_vendor,
    propose_withdraw,
)
from holdfast_bundles.site.repository import SiteRepository, site_repository
from holdfast_bundles.site.request import accept, assemble, check_signature, missing, sign_payload
from holdfast_bundles.site.review import Review, ReviewEntry, review
from holdfast_bundles.site.view import Approved, SiteView

__all__ = [
    "Allowed",
    "AppRecord",
    "Approval",
    "Approved",
    "Denial",
    "Ed25519Key",
    "Entry",
    "Fetch",
    "Frame",
    "FrameSpec",
    "Marks",
    "Officer",
    "Outcome",
    "Previous",
    "Proposal",
    "Refresh",
    "RequestSignature",
    "Review",
    "ReviewEntry",
    "SigningKey",
    "SiteCertificate",
    "SiteRepository",
    "SiteTrust",
    "SiteView",
    "Standing",
    "Trusted",
    "Unreachable",
    "Verdict",
    "accept",
    "allow_target",
    "app_target",
    "assemble",
    "bin_of",
    "build_frame",
    "check_signature",
    "deny_target",
    "generate_key",
    "keyid",
    "load_frame",
    "load_key",
    "load_view",
    "may_load",
    "missing",
    "node_target",
    "officer",
    "previous",
    "propose_allow",
    "propose_app",
    "propose_deny",
    "propose_node",
    "propose_policy",
    "propose_vendor",
    "propose_withdraw",
    "read_key",
    "review",
    "sign_payload",
    "site_repository",
    "stamp",
    "vendor_target",
    "within_defaults",
    "write_key",
]
