"""What a vendor does: keys, build, sign; and what anyone does with a stick: verify, inspect."""
