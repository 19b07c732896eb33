"""`python -m deploy.local`."""

from deploy.local.command import main

main()
