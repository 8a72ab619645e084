"""Residency: the registry of jurisdictions, labels, the decision and the run ticket."""
