#!/bin/bash
# press.sh: what make promises, tried on a small book in a folder of its own.
set -uo pipefail
top=$PWD
book=$(mktemp -d)
trap 'rm -rf "$book"' EXIT
number=0
failed=0

ok() { # WORDS: the last command's status decides
    local status=$?
    number=$((number + 1))
    if [ $status -eq 0 ]; then
        echo "ok $number - $1"
    else
        echo "not ok $number - $1"
        sed 's/^/# /' "$book/said" | tail -n 8
        failed=1
    fi
}
run() { # ARGUMENTS OF MAKE: what it prints is in $book/said
    (cd "$book" && env -u MAKEFLAGS -u MAKELEVEL -u MFLAGS make PROFILE=quick "$@") > "$book/said" 2>&1
}
says() { grep -qE -- "$1" "$book/said"; }
silent_on() { ! grep -qE -- "$1" "$book/said"; }
one_line() { # all but make's own last line
    [ "$(grep -cv '^make' "$book/said")" -eq 1 ]
}

mkdir "$book/chapters" "$book/tests"
cp -r "$top"/{Makefile,paper.tex,lib,tools,LICENSE} "$book"
cp "$top"/chapters/{reader.nw,house.sty,type.sty,claims.tsv} "$book/chapters"
cp "$top/tests/press/dice.nw" "$book/chapters"

run && [ -s "$book/paper-quick.pdf" ]
ok "a_chapter_of_one_file_ends_on_the_page"
says 'RUN +dice/throw' && says 'DRAW +dice-mean' && says 'DRAW +dice-throws' && says 'TYPESET'
ok "it_is_run_drawn_twice_and_typeset"
before=$(date +%s%N); run; after=$(date +%s%N)
silent_on 'RUN|DRAW|TYPESET|CC|TANGLE|NUMBERS|WEAVE' && [ $((after - before)) -lt 500000000 ]
ok "a_second_make_does_nothing_in_under_half_a_second"
(cd "$book" && for kind in pdf svg png; do test -s figures/quick/dice-mean.$kind || exit 1; done)
ok "a_figure_is_also_there_as_pdf_svg_and_png"

page="$book/build/tex/dice.tex"
grep -q 'record the mean \*/' "$page" && ! grep -q 'uh.student' "$page" && ! grep -q 'set ylabel' "$page" &&
    run HIDE= build/tex/dice.tex && grep -q 'uh.student' "$page" && grep -q 'set ylabel' "$page" && run
ok "what_is_off_the_page_is_a_comment_there_unless_asked_for"
printf '%s\n' '<<a.c>>=' '/* a.c */' '<<off the page: all>>' '<<b.c>>=' 'int y;' '<<off the page: all>>' \
    '<<off the page: all>>=' 'int x;' '@ Text.' > "$book/a.nw"
/usr/lib/noweb/markup "$book/a.nw" | "$book/build/bin/tool/nwpress" hide '@(off the page: *)' > "$book/said"
says 'rootalone\{experiment\}\{a\}' && silent_on '@defn a.c' && says '@defn b.c' && silent_on 'rootalone.*b'
ok "a_root_that_is_all_off_the_page_is_one_line"

first=$(sha256sum < "$book/paper-quick.pdf")
sed -i 's/^% a line of prose/Another sentence.\n\n/' "$book/chapters/dice.nw"
run && says TANGLE && says WEAVE && says TYPESET && silent_on 'RUN|DRAW'
ok "a_prose_edit_runs_no_experiment_and_draws_nothing"
sed -i 's/^Another sentence\.$/% a line of prose/' "$book/chapters/dice.nw"
sed -i 's|^ \* A stream|/* &|; $a /* a comment more */' "$book/lib/stats.c"
run && silent_on 'RUN|DRAW|NUMBERS'
ok "a_comment_in_the_library_runs_no_experiment"
sed -i 's|return 1 + (double)|return 0.5 + (double)|' "$book/chapters/dice.nw"
run && says 'RUN +dice/throw' && says NUMBERS && says DRAW && grep -q refuted "$book/build/quick/dice.jsonl"
[ $? -ne 0 ] && grep -q '"value":"undecided"' "$book/build/quick/dice.jsonl"
ok "an_edit_of_code_runs_its_step_and_moves_the_verdict"
sed -i 's|return 0.5 + (double)|return 1 + (double)|' "$book/chapters/dice.nw"
run; run record && [ -s "$book/results/quick/dice.jsonl" ] && run results && says 'records agree$'
ok "recorded_numbers_agree_with_a_run"
sed -i 's/"value":"100"/"value":"101"/' "$book/results/quick/dice.jsonl"
! run results && says 'differs dice/throws: expected 101, found 100'
ok "a_number_that_differs_is_named"

rm -rf "$book/build"
find "$book" -exec touch -d '2024-01-01' {} +
run && says 'RUN +dice/throw' && grep -q '"value":"100"' "$book/build/quick/dice.jsonl"
ok "tracked_records_never_stand_in_for_a_run"
[ "$(sha256sum < "$book/paper-quick.pdf")" = "$first" ]
ok "a_clean_build_gives_the_same_bytes"

(cd "$book" && mkdir -p build/lecture && build/bin/tool/numbers --profile lecture \
    --claims chapters/claims.tsv --out build/lecture/numbers.tex build/quick/dice.jsonl) > "$book/said" 2>&1
[ $? -eq 1 ] && says 'expected a record of profile lecture, found quick' && one_line &&
    [ ! -e "$book/build/lecture/numbers.tex" ]
ok "a_quick_number_cannot_enter_another_profile"

run PROFILE=fast; [ $? -eq 1 ] && says 'expected quick, lecture or full, found fast' && [ "$(wc -l < "$book/said")" -eq 1 ]
ok "an_unknown_profile_is_one_line"
run PROFILE=full DATA=nowhere; [ $? -eq 1 ] && says 'expected the data sets cifar10 mnist in nowhere' && [ "$(wc -l < "$book/said")" -eq 1 ]
ok "a_missing_data_set_is_one_line_before_anything_runs"
mkdir -p "$book"/sets/{mnist,cifar10} && touch "$book"/sets/{mnist,cifar10}/images && run PROFILE=full DATA=sets -n dice && says '--data sets'
ok "a_data_set_that_is_there_is_handed_to_the_step"

mkdir "$book/path"
for tool in /usr/bin/* /bin/*; do
    case ${tool##*/} in gnuplot*) ;; *) ln -sf "$tool" "$book/path/" ;; esac
done
(cd "$book" && env -u MAKEFLAGS -u MAKELEVEL PATH="$book/path" make PROFILE=quick) > "$book/said" 2>&1
[ $? -eq 1 ] && says 'missing: gnuplot-nox' && [ "$(wc -l < "$book/said")" -eq 1 ]
ok "a_missing_tool_is_one_line"
(cd "$book" && env -u MAKEFLAGS -u MAKELEVEL PATH="$book/path" make help) > "$book/said" 2>&1 && says '^make check'
ok "help_needs_no_tool"
before=$(date +%s%N)
(cd "$book" && tools/setup) > "$book/said" 2>&1
[ $? -eq 0 ] && [ ! -s "$book/said" ] && [ $(($(date +%s%N) - before)) -lt 1000000000 ]
ok "setup_is_silent_when_nothing_is_missing"
run -j2 setup paper && says 'Nothing to be done|up to date|^$' || [ ! -s "$book/said" ]
ok "setup_comes_before_the_other_goals"

cp "$book/chapters/dice.nw" "$book/kept"
sed -i 's|\\result{dice/mean}, and|\\result{dice/maen}, and|' "$book/chapters/dice.nw"
! run && says 'There is no result "dice/maen"' && [ ! -e "$book/build/quick/paper/paper.pdf" ]
ok "an_unknown_id_stops_the_report"
cp "$book/kept" "$book/chapters/dice.nw"
sed -i 's|^<<throw one die>>=|<<throw a die>>=|' "$book/chapters/dice.nw"
! run && says 'throw a die|undefined chunk'
ok "a_misspelled_chunk_is_named"
cp "$book/kept" "$book/chapters/dice.nw"
sed -i 's|uh_stream_below(stream, 6)|uh_stream_belwo(stream, 6)|' "$book/chapters/dice.nw"
! run && says 'chapters/dice.nw:[0-9]+'
ok "the_compiler_speaks_of_the_chapter"
cp "$book/kept" "$book/chapters/dice.nw"
run why FILE=paper-quick.pdf && says 'is older than|rests on'
ok "why_says_why"
run && run why FILE=paper-quick.pdf && says 'up to date'
ok "why_says_that_nothing_is_to_be_done"

rm "$book/chapters/dice.nw"
run && [ ! -e "$book/build/quick/dice.pdf" ] && ! grep -q 'dice/' "$book/build/quick/numbers.tex"
ok "a_chapter_taken_away_is_gone_from_the_report"
run clean && [ ! -e "$book/build" ] && [ -e "$book/paper-quick.pdf" ]
ok "clean_removes_scratch_only"
exit $failed
