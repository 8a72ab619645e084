"""Devices: one provider per kind behind one port."""
