#!/usr/bin/env bash
# The model of the protocol: quorum algebra, small configurations whole, every mutant caught, walks with six members.
# Under sanitizers only the first 100,000 states of each, for the sake of time.
set -u
model=$HEXAD_BUILD/hexad-model
if nm "$model" 2>/dev/null | grep -q __asan; then
    exec "$model" --check --max-states 100000
fi
exec "$model" --check
