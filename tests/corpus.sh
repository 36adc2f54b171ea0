#!/bin/bash
# corpus.sh: every file of tests/corpus through its fuzz target, without a
# fuzzing engine.  A file there is a seed or what once went wrong.  The targets
# see addresses checked (what the library copies, and what they read
# themselves); tools/check-long has the library checked throughout.
set -euo pipefail
cd "$(dirname "$0")/.."
library=build/lib/libuh.a
[ -e "$library" ] || make "$library"
mkdir -p build/tests

flags=(-std=c17 -O1 -g -ffp-contract=off -D_GNU_SOURCE -Wall -Wextra -Ilib
    -Itests -fsanitize=address)
libraries=(-Wl,--as-needed -lgsl -llapacke -lopenblas -lglpk -lgmp -lmpfr
    -ljansson -lpng -lz -lm -pthread)
for folder in tests/corpus/*; do
    word=${folder##*/}
    program=build/tests/fuzz_$word
    for part in tests/fuzz_"$word".c tests/fuzz_main.c tests/fuzz.h "$library"; do
        if [ ! "$program" -nt "$part" ]; then
            "${CC:-gcc}" "${flags[@]}" tests/fuzz_"$word".c tests/fuzz_main.c \
                "$library" "${libraries[@]}" -o "$program"
            break
        fi
    done
    files=("$folder"/*)
    if ! ASAN_OPTIONS=detect_leaks=0 "$program" "${files[@]}" \
        > "$program.log" 2> "$program.err"; then
        echo "corpus.sh: $word: expected every file to be read or refused," \
            "found an end at $(tail -n 1 "$program.log")" >&2
        sed 's/^/    /' "$program.err" >&2
        exit 1
    fi
    [ "$(wc -l < "$program.log")" = ${#files[@]} ]
    echo "ok - ${#files[@]} files of tests/corpus/$word are read or refused"
done
