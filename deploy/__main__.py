"""`python -m deploy COMMAND`."""

from deploy.sagemaker.commands import main

main()
