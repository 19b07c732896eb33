"""`python -m deploy COMMAND`."""

from deploy.commands import main

main()
