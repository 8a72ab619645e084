"""Blobs to nodes: HTTPS ranges over mutual TLS against a signed ticket, and their client."""
