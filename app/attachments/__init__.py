"""Attachments: fetched under guard, looked at, and uploaded once."""
