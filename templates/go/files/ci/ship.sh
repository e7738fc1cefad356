#!/bin/sh
# The road from a tested commit to production, one stage a call, the same for every CI system:
#   build   image built and pushed; its digest is kept in build/image.ref for the stages after it
#   sbom    what is inside, as CycloneDX, in build/sbom.json
#   scan    fails on a known vulnerability of severity high or above that has a fix
#   sign    the digest, and the SBOM as an attestation, with cosign (keyless, or COSIGN_KEY; COSIGN_ARGS are added, such as
#           --tlog-upload=false, which keeps the name of a private image out of the public log)
#   deploy  msctl deploy of exactly that digest to $DEPLOY_ENV (production)
# Needs msctl and jq, and per stage: Docker (build), syft (sbom), grype (scan), cosign (sign), KUBECONFIG (deploy).
set -eu
cd "$(dirname "$0")/.."
mkdir -p build
ref() { cat build/image.ref; }

case ${1:-} in
build)
  msctl build --push -o json >build/build.json
  jq -er '.images[0].pinned' build/build.json >build/image.ref
  ref
  ;;
sbom)
  syft scan "registry:$(ref)" -o cyclonedx-json=build/sbom.json
  # A scan of an empty list passes.
  jq -e 'any(.components[]?; .type == "library")' build/sbom.json >/dev/null || {
    echo "$0: build/sbom.json names no package" >&2
    exit 1
  }
  ;;
scan) grype sbom:build/sbom.json --fail-on high --only-fixed ;;
sign)
  # shellcheck disable=SC2086 # COSIGN_ARGS are words
  set -- --yes ${COSIGN_KEY:+--key "$COSIGN_KEY"} ${COSIGN_ARGS:-}
  cosign sign "$@" "$(ref)"
  cosign attest "$@" --type cyclonedx --predicate build/sbom.json "$(ref)"
  ;;
deploy) msctl deploy -e "${DEPLOY_ENV:-production}" --image "$(ref)" --yes="${DEPLOY_ENV:-production}" --no-input ;;
*)
  echo "usage: $0 build|sbom|scan|sign|deploy" >&2
  exit 2
  ;;
esac
