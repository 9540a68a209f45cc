"""The conversations on Kimi's side: which one a history continues, and which ones are ours to delete."""
