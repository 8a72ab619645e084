"""Pure parts of the policy: values in, values out."""
