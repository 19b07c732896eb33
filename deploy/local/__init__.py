"""SageMaker's side of a container, on this machine: who calls it, what a caller gets, which rules it keeps."""
