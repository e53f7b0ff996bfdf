# One image with the five services and the command mp169, and nothing else: no shell, no package manager. They are one
# file, which is the service under whose name it is started.
#
#   docker build --tag mp169 .
#   docker run --rm mp169 mp169 --help

FROM rust:1.95-slim-trixie AS build
WORKDIR /src
COPY . .
# What was compiled before stays in caches of the builder: a change of ours compiles ours alone.
RUN --mount=type=cache,id=mp169-registry,target=/usr/local/cargo/registry \
    --mount=type=cache,id=mp169-target,target=/src/target \
    set -eu; \
    cargo build --release --locked --package=mp169 --bin=mp169; \
    install -D --target-directory=/out/usr/local/bin target/release/mp169; \
    for service in services/*/src/process.rs; do \
      ln --symbolic mp169 "/out/usr/local/bin/$(basename "${service%/src/process.rs}")"; \
    done

# The C library that the programs are linked with, the folders that volumes are mounted on, and a user.
FROM debian:trixie-slim AS root
COPY --from=build /out /out
RUN set -eu; \
    ldd /out/usr/local/bin/mp169 | grep --only-matching '/[^ ]*' | grep --invert-match ':$' | sort --unique \
      | while read -r library; do install -D "$library" "/out$library"; done; \
    mkdir -p /out/etc /out/tmp /out/home/mp169 /out/identity /out/trust /out/server /out/services; \
    for service in $(find /out/usr/local/bin -type l -printf '%f '); do mkdir "/out/services/$service"; done; \
    echo 'mp169:x:10001:10001::/home/mp169:/none' > /out/etc/passwd; \
    echo 'mp169:x:10001:' > /out/etc/group; \
    echo 'hosts: files dns' > /out/etc/nsswitch.conf; \
    chmod 1777 /out/tmp; \
    chown --recursive 10001:10001 /out/home/mp169 /out/identity /out/trust /out/server /out/services

FROM scratch
COPY --from=root /out /
ENV PATH=/usr/local/bin HOME=/home/mp169
WORKDIR /home/mp169
USER 10001:10001
# An image in which something is missing is none.
RUN ["registration", "--version"]
CMD ["mp169", "--help"]
