"""Pure parts of the lab: how nodes are named, when a program is started again."""
