"""The agent's hands: one foreign thing each, no decisions."""
