"""The claims relay beside each broker: verifies account claims and pushes them locally."""
