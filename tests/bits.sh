#!/bin/bash
# bits.sh: the quick form of tools/check-bits, and that it can say no.
set -euo pipefail
cd "$(dirname "$0")/.."
tools/check-bits --quick

fail() {
    echo "bits.sh: $*" >&2
    exit 1
}
# A digest that is not like the others is named, and so is one that is missing.
home=$(mktemp -d "${TMPDIR:-/tmp}/uh-bits-XXXXXX")
trap 'rm -rf "$home"' EXIT
files=(build/bits/*.digests)
for change in '/mat\/nn$/s/^./x/' '/mat\/nn$/d'; do
    sed "$change" "${files[0]}" > "$home/other"
    status=0
    said=$(tools/check-bits --compare "$home/other" "${files[@]}" 2>&1) || status=$?
    [ "$status" = 1 ] && [[ $said == "check-bits: mat/nn: expected"* ]] ||
        fail "expected status 1 and mat/nn, found $status and $said"
done
echo "ok - check-bits names what differs"
