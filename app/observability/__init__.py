"""What operators see: log lines without content or secrets."""
