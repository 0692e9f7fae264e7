# The service as an image: docker build --tag gopherpay .
# BUILD_BASE has Node 26 with npm and a shell. BASE needs no more than Node 26.
ARG BUILD_BASE=node:26.10.0-slim
ARG BASE=node:26.10.0-slim

FROM ${BUILD_BASE} AS build
WORKDIR /build
COPY . .
RUN node .ci/build.js
WORKDIR /build/dist
# The packages of the lock file, without the embedded server and the pinned Node.
RUN npm ci --omit=optional --ignore-scripts --no-audit --no-fund

FROM ${BASE}
ARG VERSION=0.1.0
ARG REVISION=
LABEL org.opencontainers.image.title="GopherPay" \
  org.opencontainers.image.description="A payment and wallet service on PostgreSQL" \
  org.opencontainers.image.licenses="MIT" \
  org.opencontainers.image.version="${VERSION}" \
  org.opencontainers.image.revision="${REVISION}"
# The service cannot change its own code: the files are root's.
COPY --from=build /build/dist /app
WORKDIR /app
# Beyond loopback the service starts only if there is a key.
ENV HOST=0.0.0.0 PORT=8080
EXPOSE 8080
# A number, so that Kubernetes sees that it is not root.
USER 1000:1000
STOPSIGNAL SIGTERM
# With TLS to callers too: the certificate is not made for this address. Where callers need a certificate of their own
# (TLS_CLIENT_CERT=required), override it.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s \
  CMD ["node", "-e", "const { PORT: port, TLS_CERT } = process.env; require(TLS_CERT ? 'https' : 'http').get({ port, path: '/readyz', rejectUnauthorized: false }, ({ statusCode }) => process.exit(statusCode === 200 ? 0 : 1)).on('error', () => process.exit(1))"]
ENTRYPOINT ["node", "/app/src/cli/main.js"]
CMD ["serve"]
