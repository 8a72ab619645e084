"""Decisions of the agent and its gateway: values in, values out."""
