"""Pure parts of the inference gateway."""
