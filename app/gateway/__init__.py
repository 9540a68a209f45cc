"""The one use case: a request and its credentials in, a stream of events out, and nothing left behind."""
