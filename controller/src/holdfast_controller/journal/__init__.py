"""The record of the site: the port to the journal, and its fake."""
