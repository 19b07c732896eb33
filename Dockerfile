# The image of the service. It holds no weights: ROMs come from S3, from what is mounted, or from an image built on it.
#
#   docker build --provenance=false --output type=docker -t cartridge .     torch for CPUs, amd64
#   ... --build-arg FLAVOUR=cu130                                           with CUDA, as torch publishes it
#   ... --build-arg PLATFORM=linux/arm64                                    for Graviton (BuildKit: --platform, too)
#
# SageMaker refuses OCI manifests, which is why provenance is off. Pin the base by digest where builds have to be the same
# for good: --build-arg PYTHON_IMAGE=python:3.11-slim-bookworm@sha256:...
ARG PLATFORM=linux/amd64
ARG PYTHON_IMAGE=python:3.11-slim-bookworm


# All packages in one virtual environment, at the place where the last stage has it.
FROM --platform=${PLATFORM} ${PYTHON_IMAGE} AS packages
RUN apt-get update && apt-get install --yes --no-install-recommends binutils
RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_COMPILE=1
ARG TORCH=torch==2.13.0
ARG FLAVOUR=cpu
ARG TORCH_INDEX=https://download.pytorch.org/whl/${FLAVOUR}
RUN pip install --index-url "${TORCH_INDEX}" --extra-index-url https://pypi.org/simple "${TORCH}"
COPY requirements.txt /tmp/
RUN pip install --requirement /tmp/requirements.txt
COPY deploy/container/trim deploy/container/imports.py /tmp/
RUN sh /tmp/trim /opt/venv /tmp/imports.py


# What the service runs on.
FROM --platform=${PLATFORM} ${PYTHON_IMAGE} AS runtime
RUN apt-get update \
 && apt-get install --yes --no-install-recommends nginx-light \
 && rm -rf /var/lib/apt/lists/* /var/cache/debconf/*-old /var/log/*.log /var/log/apt
COPY --from=packages /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:/opt/cartridge:$PATH \
    PYTHONPATH=/opt/cartridge \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    CARTRIDGE_CACHE_DIR=/tmp/cartridge
# With the settings' default an image that is built on this one finds its ROMs where it puts them.
WORKDIR /opt/cartridge
RUN mkdir model_store
LABEL com.amazonaws.sagemaker.capabilities.accept-bind-to-port=true \
      com.amazonaws.sagemaker.capabilities.multi-models=true \
      org.opencontainers.image.title=cartridge \
      org.opencontainers.image.description="Many image-generation models behind one SageMaker-style endpoint" \
      org.opencontainers.image.licenses=Apache-2.0
EXPOSE 8080
# `docker run IMAGE serve` is how SageMaker starts it; every other command of `cartridge` works as well.
ENTRYPOINT ["python", "-m", "app.cli"]
CMD ["serve"]
COPY LICENSE serve nginx.conf ./


# What changes with every commit comes last.
FROM runtime AS service
ARG VERSION=0
ARG REVISION=unknown
LABEL org.opencontainers.image.version=${VERSION} org.opencontainers.image.revision=${REVISION}
COPY app app
RUN python -m compileall -q app
