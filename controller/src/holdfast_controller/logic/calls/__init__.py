"""What each call of the API decides, one file per resource."""
