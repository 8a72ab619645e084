"""Who may speak: nkeys, NATS claims, permissions per role, certificates, credentials folders."""
