"""`python -m softseg` is `softseg`."""

from softseg.cli import main

main()
