"""The format of the log: hashes, proofs and signed notes. Values in, values out; no I/O."""
