#!/usr/bin/env bash
# Prints the version of what the simulator tests: a hash over base, core, store, fs and the simulator itself.
set -euo pipefail
cd "$(dirname "$0")/../.."
find src/base src/core src/store src/fs src/sim include/hexad -name '*.[ch]' -type f | LC_ALL=C sort |
    xargs sha256sum | sha256sum | cut -c 1-12
