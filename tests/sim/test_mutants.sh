#!/usr/bin/env bash
# The checkers see: each mutant is killed by the seed that tests/sim/mutants.txt records (all seeds: make check-mutants).
exec python3 "$HEXAD_SOURCE/tests/sim/mutants.py" recorded
