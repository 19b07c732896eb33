"""What the service imports of its packages: run once while the image is built, so that their bytecode is in it."""
# ruff: noqa: F401
# mypy: ignore-errors

import awscrt.checksums
import boto3
import botocore.config
import certifi
import diffusers.loaders.single_file_utils
import diffusers.models.activations
import diffusers.models.embeddings
import gunicorn.app.wsgiapp
import httpx
import numpy.typing
import peft
import prometheus_client
import pydantic_settings
import rich.console
import rich.progress
import safetensors.torch
import scipy.linalg
import scipy.sparse
import sklearn.feature_extraction.text
import sklearn.linear_model
import tokenizers
import torch
import transformers.models.clip.image_processing_pil_clip
import typer
import uvicorn_worker
import uvloop
import yaml
from diffusers import (
    AutoencoderKL,
    AutoencoderTiny,
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    LCMScheduler,
    PNDMScheduler,
    StableDiffusionUpscalePipeline,
    UNet2DConditionModel,
)
from diffusers.loaders import StableDiffusionXLLoraLoaderMixin
from diffusers.utils import convert_state_dict_to_peft
from fastapi import FastAPI
from PIL import Image, ImageOps, JpegImagePlugin, PngImagePlugin, WebPImagePlugin
from transformers import CLIPModel, CLIPTextConfig, CLIPTextModelWithProjection, CLIPTokenizer
from uvicorn.protocols.http import httptools_impl

boto3.client("s3", region_name="us-east-1")
