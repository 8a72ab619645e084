"""What people see, decided without a terminal: text made harmless, numbers, tables, screens."""
