"""``holdfast-agent enroll``: a machine becomes a node of a site."""
