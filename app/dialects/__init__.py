"""The doors: each dialect is a folder with a door (routes), a schema (in) and an encoder (out)."""
