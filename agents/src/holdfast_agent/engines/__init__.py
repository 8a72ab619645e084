"""Engines: the driver contract, the driver of llama.cpp, isolation and the local client."""
