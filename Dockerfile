FROM python:3.13-slim AS build

WORKDIR /src
COPY pyproject.toml requirements.lock README.md LICENSE ./
COPY client client
COPY server server
COPY migrations migrations
RUN python -m venv --without-pip /opt/session-history \
    && pip --python /opt/session-history install --no-cache-dir \
        --only-binary :all: --require-hashes --requirement requirements.lock \
    && pip wheel --no-cache-dir --no-deps --wheel-dir /dist . \
    && pip --python /opt/session-history install --no-cache-dir --no-deps --no-index /dist/*.whl


FROM python:3.13-slim

RUN useradd --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin session-history
COPY --from=build /opt/session-history /opt/session-history

# The image listens on all addresses and does not choose how calls are protected, because only its user knows:
# `serve` refuses to start until SESSION_HISTORY_TLS_CERT and SESSION_HISTORY_TLS_KEY, SESSION_HISTORY_PLAINTEXT
# or SESSION_HISTORY_INSECURE is set.
ENV PATH=/opt/session-history/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    SESSION_HISTORY_LISTEN=0.0.0.0:50051 \
    SESSION_HISTORY_METRICS_LISTEN=0.0.0.0:9464

# A number, so that an orchestrator can see that it is not root.
USER 10001:10001
EXPOSE 50051 9464
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["session-history", "health"]
ENTRYPOINT ["session-history"]
CMD ["serve"]
