"""What OpenAI's two ways to ask for an answer have in common."""
