"""Signed offline bundles and the trust of a site: build, sign, verify, import, store, serve."""
