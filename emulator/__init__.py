"""A stand-in for the Kimi web site on loopback, for tests and for the demo.

It is written from the protocol notes and the captures only and shares no code with the gateway:
a mistake made on one side cannot be repeated on the other and so look right. The paragraph
numbers in the docstrings (A4, B7, ...) are those of the protocol notes.
"""
