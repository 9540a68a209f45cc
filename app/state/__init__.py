"""What outlives a request: small values, leases and lists, shared by workers and machines."""
