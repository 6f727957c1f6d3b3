# One image for every process of Azimuth and for the demo's shop; the command picks which.
#
# The sources run as they are (Node strips the types): no build step, so stack traces point at the
# lines of the repository and the image runs what a clone runs. Debian, not Alpine: the embedded store
# needs glibc. The embedded engine itself (an optional dependency, over 500 MB) is left out, since the
# stack brings a ClickHouse server; `--build-arg OMIT=--omit=dev` puts it in.
FROM node:24.21.0-bookworm-slim AS dependencies
ARG OMIT="--omit=dev --omit=optional"
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN --mount=type=cache,target=/tmp/npm-cache \
    npm ci ${OMIT} --ignore-scripts --no-audit --no-fund --cache /tmp/npm-cache

FROM node:24.21.0-bookworm-slim
ENV NODE_ENV=production
WORKDIR /app
COPY --from=dependencies /app/node_modules ./node_modules
COPY package.json LICENSE ./
COPY bin ./bin
COPY telemetry ./telemetry
COPY runtime ./runtime
COPY mesh ./mesh
COPY transport ./transport
COPY proxy ./proxy
COPY collector ./collector
COPY store ./store
COPY analytics ./analytics
COPY demo ./demo
# Where the certificates and the key of their authority go (docs/IDENTITY.md): new volumes take owner and mode.
RUN install -d -o node -g node -m 700 /var/lib/azimuth /var/lib/azimuth/certs /var/lib/azimuth/authority
USER node
# Node is process 1 of the container only where compose does not set `init: true`; it ends on SIGTERM.
STOPSIGNAL SIGTERM
ENTRYPOINT ["node", "bin/azimuth.js"]
CMD ["--help"]
