"""Whose account serves a request: credentials, and the access tokens they are exchanged for."""
