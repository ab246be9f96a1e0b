"""``python -m falcon.cli``: the command ``falcon`` where its script is not on the PATH."""

from falcon.cli.main import main

main()
