# syntax=docker/dockerfile:1
# Two stages: pip and its caches stay behind, the image holds the venv and the code.
# The base is named by tag here; a later issue pins its digest.

FROM python:3.13-slim AS build
COPY requirements.txt /tmp/requirements.txt
RUN python -m venv /opt/venv \
    && /opt/venv/bin/python -m pip install --require-hashes --no-cache-dir \
       --disable-pip-version-check -r /tmp/requirements.txt

FROM python:3.13-slim
ENV PATH="/opt/venv/bin:$PATH" PYTHONUNBUFFERED=1
RUN groupadd --gid 10001 gateway \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /srv/gateway \
       --shell /usr/sbin/nologin gateway
WORKDIR /srv/gateway
COPY --from=build /opt/venv /opt/venv
COPY . .
# The code belongs to root; only the state may be written.
RUN install -d -o 10001 -g 10001 -m 0700 instance
# Rotated tokens are in there: mount a volume, or a new container needs new ones.
VOLUME ["/srv/gateway/instance"]
USER 10001:10001
EXPOSE 8000
# Straight to this host, whatever proxy the environment names.
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as u; u.build_opener(u.ProxyHandler({})).open(f\"http://127.0.0.1:{os.environ.get('PORT') or 8000}/healthz\", timeout=4).close()"]
CMD ["gunicorn", "-c", "gunicorn.conf.py", "wsgi:app"]
