# The one door. `make help` lists what is behind it.
PYTHON ?= python3.11
TORCH ?= torch==2.13.0
TORCH_INDEX ?=
ROM ?= shapes
METRICS ?= alignment
PROMPTS ?=
CATALOG ?= model_store
BASE ?= shapes
DATA ?=
ARGS ?=
IMAGE ?= cartridge
FLAVOUR ?= cpu
PLATFORM ?= linux/amd64

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

# SageMaker takes no OCI manifests; without BuildKit there are none.
BUILD_IMAGE = docker $$(docker buildx version >/dev/null 2>&1 \
  && echo buildx build --platform $(PLATFORM) --provenance=false --output type=docker || echo build) --network host

COMPOSE = IMAGE=$(IMAGE) $$(docker compose version >/dev/null 2>&1 && echo docker compose || echo docker-compose) --project-name cartridge
CUDA_LABEL = $(if $(filter cu%,$(FLAVOUR)),--label com.amazonaws.sagemaker.inference.cuda.verified_versions=$$(echo \
  $(FLAVOUR) | sed -E 's/cu([0-9]+)([0-9])/\1.\2/'))

.DEFAULT_GOAL := help
.PHONY: help install nginx run demo test test-deploy test-container test-ui chromium docker-registry soak check format image up smoke down train ddpm eval eval-router bench bench-engine bench-step bench-load bench-switch bench-planner bench-download clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(INSTALLED)  ## set up .venv with all dependencies and the cartridge command

# torch goes first and alone: where it is present already, the other packages do not ask for another build of it.
$(INSTALLED): requirements.txt requirements-dev.txt pyproject.toml
	@echo "setting up $(VENV) (some minutes the first time)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || python3 -m venv $(VENV)
	@$(PIP) $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) "$(TORCH)"
	@$(PIP) -r requirements-dev.txt
	@$(PIP) --no-deps --editable .
	@touch $@

nginx:  # install nginx where it is missing and we may
	@command -v nginx >/dev/null || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "installing nginx"; \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq nginx-light >/dev/null; \
	  else echo "nginx is missing and cannot be installed here"; fi; }

docker-registry:  # install docker-registry where it is missing and we may
	@command -v docker-registry >/dev/null || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "installing docker-registry"; \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq docker-registry >/dev/null; \
	  else echo "docker-registry is missing and cannot be installed here"; fi; }

chromium:  # install chromium where it is missing and we may
	@command -v chromium >/dev/null || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "installing chromium"; \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium >/dev/null; \
	  else echo "chromium is missing and cannot be installed here"; fi; }

run: install nginx  ## serve on port 8080 until Ctrl-C
	@$(BIN)/python serve

demo: install nginx  ## start the service, ask it for eight images through boto3, save them, stop it
	@$(BIN)/python -m deploy.demo

# Threads of torch that wait for each other sleep soon: spinning ones stall when something else wants their core.
test test-ui soak eval bench-step: export GOMP_SPINCOUNT ?= 10000

test: install nginx  ## run the tests: the rooms' on all cores, then those of the whole service
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist loadfile --ignore tests/service --ignore tests/deploy
	@$(BIN)/python -m pytest tests/service

test-deploy: install  ## run the tests of the deploy scripts, against moto's AWS
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/deploy --numprocesses auto --dist loadfile

test-ui: install nginx chromium  ## run the tests of the page in a browser, which needs chromium
	@$(BIN)/python -m pytest tests/ui -m browser

up: image  ## start the local stand: object store, seeding, service, SageMaker front, page
	@$(COMPOSE) build --quiet objects
	@$(COMPOSE) up --detach

smoke: install  ## call the stand with boto3 and show the pictures
	@$(BIN)/python -m deploy.stand.smoke

down:  ## stop the stand; nothing of it is left
	@$(COMPOSE) down --volumes --remove-orphans --timeout 30

test-container: install image docker-registry  ## run the image as SageMaker does, and the local stand; needs docker (minutes)
	@$(BIN)/python -m pytest tests/container -m container

soak: install nginx  ## run the tests that take minutes: hundreds of switches between ROMs
	@$(BIN)/python -m pytest -m soak

check: install  ## lint, format, types, import rules, documents
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -m pytest tests/docs

format: install  ## write the code in the project's format
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

train: install  ## make a ROM: ROM=shapes, sketch, digits, ... (hours on a CPU); of your images: ROM=my-rom DATA=folder BASE=shapes
	@$(BIN)/python -m training $(if $(DATA),own --data "$(DATA)" --base $(BASE) --id $(ROM),$(ROM)) $(ARGS)

ddpm: install  ## train the plainest diffusion with its three losses, to build/ddpm (a quarter of an hour on one core)
	@$(BIN)/python -m training.ddpm --target all

eval: install  ## judge a ROM: make eval ROM=shapes METRICS=alignment,clip_score,fid,prdc,diversity,speed
	@$(BIN)/python -m evaluation model_store/$(ROM) --metrics $(METRICS)

ROUTER_SETS = evaluation/test_sets/embedded.jsonl:model_store evaluation/test_sets/public.jsonl:model_store/catalog

eval-router: install  ## judge how prompts find their domains: our two sets, or PROMPTS=file.jsonl CATALOG=folder
	@set -e; for set in $(if $(PROMPTS),"$(PROMPTS):$(CATALOG)",$(ROUTER_SETS)); do \
	  prompts=$${set%:*}; catalog=$${set##*:}; name=$$(basename "$$prompts" .jsonl); \
	  clip=; if [ -d "$$catalog/clip" ]; then clip="--clip $$catalog/clip"; fi; \
	  if [ -n "$(PROMPTS)" ] || [ -f "$$prompts" ]; then \
	    $(BIN)/python -m evaluation.router --prompts "$$prompts" --catalog "$$catalog" $$clip --output "build/evaluation/$$name"; \
	  else echo "$$prompts is not there"; fi; done

image:  ## build the image of the service and say what of it takes the room; FLAVOUR=cu130 for GPUs, PLATFORM=linux/arm64
	@$(BUILD_IMAGE) --tag $(IMAGE) \
	  --build-arg FLAVOUR=$(FLAVOUR) --build-arg PLATFORM=$(PLATFORM) --build-arg TORCH="$(TORCH)" \
	  $(if $(TORCH_INDEX),--build-arg TORCH_INDEX="$(TORCH_INDEX)") \
	  --build-arg REVISION=$$(git rev-parse --short HEAD) $(CUDA_LABEL) .
	@python3 -m deploy.container.sizes $(IMAGE)

bench: install  ## measure our overhead against plain diffusers
	@$(BIN)/python -m benchmarks.overhead model_store/$(ROM)

bench-engine: install nginx  ## our service against serial diffusers and LitServe, over HTTP (minutes)
	@$(BIN)/python -m benchmarks.serving model_store/$(ROM)
	@GOMP_SPINCOUNT=10000 $(BIN)/python -m benchmarks.optimizations model_store/$(ROM)

bench-step: install  ## a step of SD, BK-SDM, SSD-1B and SDXL at full size against plain diffusers (a quarter of an hour, 15 GB)
	@$(BIN)/python -m benchmarks.step

bench-load: install  ## weights of SD and SDXL size into memory, against from_pretrained and reading the bytes (minutes, 13 GB)
	@$(BIN)/python -m benchmarks.load_time

bench-switch: install  ## how long until another ROM is ready: from disk, shared, resident (a minute, 2 GB)
	@$(BIN)/python -m benchmarks.switch

bench-planner: install  ## simulate overload: what the planner keeps of its promises, against first come first served
	@$(BIN)/python -m benchmarks.planner

bench-download: install nginx  ## a ROM from S3 to the disk, against boto3 and a plain reader (a minute, 4 GB of memory)
	@$(BIN)/python -m benchmarks.download
	@$(BIN)/python -m benchmarks.download --per-connection 40

clean:  ## remove what was built
	@rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
