# Built by `make image`, which first puts the wheels into build/wheels: nothing is downloaded in here.
# PYTHON_VERSION must be the one those wheels are for. BASE needs glibc, because the drivers' libraries do, and pip.
ARG PYTHON_VERSION=3.13
ARG BASE=python:${PYTHON_VERSION}-slim-trixie
# The base's digest, sha256:..., for a build that can be repeated.
ARG DIGEST=

FROM ${BASE}${DIGEST:+@${DIGEST}} AS root
COPY requirements/run.txt build/wheels/ /tmp/wheels/
# Byte-compiled, the standard library too, because the root file system is read-only where this runs: compiling at each
# start costs time and memory (13 MiB for pynvml alone). Unchecked, so that a changed file time can't undo it.
RUN set -eu; \
    prefix=/opt/accelerator-exporter; \
    python3 -m venv --without-pip "$prefix"; \
    pip() { python3 -m pip --python "$prefix/bin/python" "$@"; }; \
    pip install --no-cache-dir --no-compile --no-index --find-links=/tmp/wheels --require-hashes \
      --requirement=/tmp/wheels/run.txt; \
    pip install --no-cache-dir --no-compile --no-index --no-deps /tmp/wheels/accelerator_exporter-*.whl; \
    pip check; \
    python3 -c 'import sysconfig as s; print(s.get_path("purelib"), s.get_path("stdlib"), s.get_path("scripts"))' \
      >/tmp/paths; \
    read -r site stdlib scripts </tmp/paths; \
    rm -rf "$site"/pip "$site"/pip-*.dist-info "$scripts"/pip* "$stdlib"/ensurepip; \
    python3 -m compileall -q --invalidation-mode unchecked-hash "$stdlib" "$prefix"; \
    rm -rf /tmp/wheels /tmp/paths

FROM scratch
# Everything in one layer: on top of the base, pip would still be in the layers below.
# hadolint ignore=DL3067
COPY --from=root / /
ENV PATH=/opt/accelerator-exporter/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

ARG VERSION
ARG REVISION
LABEL org.opencontainers.image.title="accelerator-exporter" \
      org.opencontainers.image.description="One Prometheus exporter per Kubernetes node for every accelerator on it" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

# It runs as uid 0, since only that may connect to the kubelet's socket, and needs no capability: drop all of them.
# No NVIDIA_VISIBLE_DEVICES here: access to devices is given by the manifest, where it is reviewed.
EXPOSE 9410
STOPSIGNAL SIGTERM
ENTRYPOINT ["accelerator-exporter"]
