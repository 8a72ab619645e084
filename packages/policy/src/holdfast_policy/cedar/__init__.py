"""Cedar behind one fail-closed module: what it sees, the engine itself, and the shell around it."""
