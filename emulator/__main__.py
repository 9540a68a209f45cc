"""`python -m emulator`: patch the standard library first, then serve."""

from gevent import monkey

monkey.patch_all()

from emulator.program import main  # noqa: E402 -- nothing may import sockets before the patch

main()
