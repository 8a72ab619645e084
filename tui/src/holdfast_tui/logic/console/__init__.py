"""The console without a terminal: what is known, which keys mean what, which lines to draw."""
