#!/usr/bin/env bash
# Prints two versions of what the simulator tests: a hash over base and core (the protocol), and one over all that runs
# in it (base, core, store, fs, the simulator itself, their headers).
set -euo pipefail
cd "$(dirname "$0")/../.."
hash() {
    find "$@" -name '*.[ch]' -type f | LC_ALL=C sort | xargs sha256sum | sha256sum | cut -c 1-12
}
echo "$(hash src/base src/core) $(hash src/base src/core src/store src/fs src/sim include/hexad)"
