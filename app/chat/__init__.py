"""The house language: what a request is, what an answer is. Standard library only."""
