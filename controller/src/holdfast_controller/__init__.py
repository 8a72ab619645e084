"""The brain of a site: state, placement, requests, approvals, trust repository, minter."""
