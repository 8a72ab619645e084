"""One foreign I/O library each, behind the controller's ports."""
