"""The inference gateway: takes applications' requests, decides, executes here or forwards."""
