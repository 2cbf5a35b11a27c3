"""`python -m kir`."""

from kir.program import main

main()
