"""`python -m sigil_ext` is `sigil`."""

from sigil_ext.entrypoints.cli.main import main

main()
