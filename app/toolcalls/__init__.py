"""Tools, played over a chat that knows only text: how calls are asked for, read and checked."""
