"""A whole site on one machine, with the ceremony that founds it."""
