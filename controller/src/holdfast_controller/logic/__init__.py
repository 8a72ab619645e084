"""What the controller decides: facts in, state, work out. Nothing here waits or touches a disk."""
