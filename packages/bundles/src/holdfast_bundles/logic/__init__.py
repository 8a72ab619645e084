"""Pure parts of bundles: bytes in, values out."""
