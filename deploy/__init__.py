"""Taking Cartridge to SageMaker, and trying it as SageMaker's clients do."""
