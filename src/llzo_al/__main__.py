"""``python -m llzo_al``: the command line, where the ``llzo-al`` command is not on the PATH."""

from llzo_al.cli import main

main()
