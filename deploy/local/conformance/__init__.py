"""Whether a container keeps SageMaker's rules."""
