"""One node: inventory, artifacts, engines, and the inference gateway."""
