# syntax=docker/dockerfile:1
# The first stage installs the dependencies. The second stage is the image, without compiler and package cache.
# The base image is a tag, so a rebuild includes its security updates. A digest pins one image. Read the digest from a
# registry that you trust:           docker buildx imagetools inspect python:3.13-slim
#                                   docker build --build-arg PYTHON=python:3.13-slim@sha256:… .
ARG PYTHON=python:3.13-slim
FROM ${PYTHON} AS build
WORKDIR /build
RUN python -m venv /venv
COPY requirements.txt .
RUN /venv/bin/pip install --no-cache-dir --require-hashes -r requirements.txt

FROM ${PYTHON}
RUN useradd --system --no-create-home doable
COPY --from=build /venv /venv
WORKDIR /app
COPY service service
COPY aerich aerich
USER doable
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
EXPOSE 8000
# The check uses `python -c`, because the slim image has no curl.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
  CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(f'http://localhost:{os.environ.get(\"PORT\", 8000)}/health/live')"]
CMD ["python", "-m", "service", "run"]
