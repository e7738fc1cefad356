# msctl as an image: what `deploy --detach` runs in the cluster, and what a CI job may use.
#   docker build -t REGISTRY/msctl:VERSION .
FROM rust:1.95-bookworm AS build
WORKDIR /src
# The sources that a build reads, in the order in which they change.
COPY Cargo.toml Cargo.lock build.rs ./
COPY templates templates
COPY src src
ARG PROFILE=release
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/target \
    CARGO_TARGET_DIR=/target cargo build --locked --profile "$PROFILE" --bin msctl && \
    cp "/target/$([ "$PROFILE" = dev ] && echo debug || echo "$PROFILE")/msctl" /msctl && strip /msctl

# No shell, no package manager: the C library, CA certificates, and a user that is not root.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /msctl /usr/local/bin/msctl
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/msctl"]
