"""The Merkle log of RFC 6962: append, checkpoint, proofs."""
