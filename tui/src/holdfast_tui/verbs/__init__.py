"""One file per group of verbs; each asks the controller and prints the answer."""
