"""The console, and the holdfast command."""
