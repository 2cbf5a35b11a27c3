"""`python -m kir`."""

from kir.support.program import main

main()
