"""SageMaker: image, ROMs, roles and endpoints, made, looked at, changed and taken down."""
