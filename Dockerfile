# The services and the `claimbus` command. The embedded Kafka and PostgreSQL, which only `claimbus up` and
# `claimbus demo` need, are not in it.
ARG PYTHON=3.13

FROM python:${PYTHON}-slim AS installed
ARG PYTHON
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv --without-pip /opt/claimbus
COPY requirements-image.lock /tmp/
RUN pip --python /opt/claimbus/bin/python install --no-compile --only-binary :all: --require-hashes \
      --requirement /tmp/requirements-image.lock
ARG PACKAGES=/opt/claimbus/lib/python${PYTHON}/site-packages
COPY shared ${PACKAGES}/shared
COPY services ${PACKAGES}/services
COPY operations ${PACKAGES}/operations
# Never checked against the sources again: nobody edits them in an image.
RUN /opt/claimbus/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash ${PACKAGES}
COPY LICENSE /opt/claimbus/
COPY --chmod=755 <<'END' /opt/claimbus/bin/claimbus
#!/opt/claimbus/bin/python
from operations.command import main

main()
END

FROM python:${PYTHON}-slim
LABEL org.opencontainers.image.title="Claimbus" \
      org.opencontainers.image.description="Temporary insurance claims over a message bus" \
      org.opencontainers.image.licenses="Apache-2.0"
# The home is the one place that can be written to: a new volume that is mounted there is this user's too.
RUN useradd --uid 10001 --user-group --create-home --home-dir /var/lib/claimbus --skel /nowhere --shell /usr/sbin/nologin \
      claimbus
COPY --from=installed /opt/claimbus /opt/claimbus
ENV PATH=/opt/claimbus/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONSAFEPATH=1 \
    CLAIMBUS_CONNECTION_FILE=/var/lib/claimbus/connection.json \
    CLAIMBUS_HEALTH_HOST=0.0.0.0 \
    CLAIMBUS_HEALTH_PORT=8080
USER 10001:10001
WORKDIR /var/lib/claimbus
EXPOSE 8080
# While it starts it is not unhealthy, however long that takes on a busy machine; one that dies is seen by its exit.
HEALTHCHECK --interval=10s --timeout=5s --start-period=600s --start-interval=2s CMD ["python", "-I", "-S", "-c", \
  "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ['CLAIMBUS_HEALTH_PORT'] + '/health/ready')"]
# A service is `python -m services.claims`; the command is `claimbus`.
CMD ["claimbus", "--help"]
