"""What Holdfast programs say to one another: messages, subjects, codes, identities, the bus."""
