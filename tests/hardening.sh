#!/usr/bin/env bash
# The programs are built with what the compiler offers against memory errors: read off the binaries
# themselves, because a configure script that drops a flag says nothing.
set -u
if nm "$HEXAD_BUILD/src/base/libhexad-base.a" 2>/dev/null | grep -q -e __asan -e __tsan; then
    echo "1..0 # SKIP built with sanitizers"
    exit 0
fi
n=0
check() { # check NAME COMMAND...
    local name=$1
    shift
    n=$((n + 1))
    if "$@" >/dev/null 2>&1; then echo "ok $n - $name"; else echo "not ok $n - $name"; fi
}
has() { # has PATTERN READELF-OPTIONS FILE
    readelf -W "$2" "$3" | grep -qE "$1"
}
lacks() { ! has "$@"; }
for program in hexad hexad-segmentd; do
    p=$HEXAD_BUILD/$program
    check "$program is position independent" has 'Type:[[:space:]]+DYN' -h "$p"
    check "$program has read-only relocations" has GNU_RELRO -l "$p"
    check "$program binds at start" has 'BIND_NOW|FLAGS.*NOW' -d "$p"
    check "$program has no executable stack" lacks 'GNU_STACK.*RWE' -l "$p"
    check "$program guards its stack" has __stack_chk_fail -s "$p"
    check "$program uses fortified calls" has '_chk@' -s "$p"
done
# Mutants (include/hexad/mutant.h) are in the libraries made for them, and nowhere else.
header=$HEXAD_SOURCE/include/hexad/mutant.h
knows() { # knows FILE...: does one of them hold a mutant's name?
    grep -qaF -f <(sed -n 's/^ *X([A-Z0-9_]*, "\([a-z0-9-]*\)".*/\1/p' "$header") "$@"
}
asks() { nm -A "$@" 2>/dev/null | grep -q hx_mutant_selected; }
mapfile -t archives < <(ls "$HEXAD_BUILD"/src/*/lib*.a)
mapfile -t with < <(printf '%s\n' "${archives[@]}" | grep -e '-mutants\.a$')
mapfile -t without < <(printf '%s\n' "${archives[@]}" | grep -v -e '-mutants\.a$')
check "the names of mutants are known to this check" knows "$header"
check "the libraries with mutants ask which is selected" asks "${with[@]}"
no() { ! "$@"; }
check "the libraries of the programs do not" no asks "${without[@]}"
for program in hexad hexad-segmentd hexad-sim; do
    [ ! -f "$HEXAD_BUILD/$program" ] || check "$program knows no mutant" no knows "$HEXAD_BUILD/$program"
done
echo "1..$n"
