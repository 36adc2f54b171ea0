# Makefile: from a chapter to a page of the report.
#
#   chapters/NAME.nw -> build/src/NAME/STEP.c -> build/bin/NAME/STEP
#     -> build/PROFILE/NAME/STEP/records.jsonl -> build/PROFILE/NAME.jsonl
#     -> build/PROFILE/numbers.tex, figures/PROFILE/*.pdf -> paper.pdf
#
# make help lists the goals.  A chapter is one file, chapters/NAME.nw; its chunk
# <<manifest>> names its steps, what they read and its figures, and no other
# list exists.

PROFILE ?= lecture
DATA    ?= data
HIDE    ?= @(*.test.c|*.gp|manifest|off the page: *)

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-builtin-rules --no-builtin-variables --no-print-directory
.DELETE_ON_ERROR:
.SUFFIXES:
.SECONDARY:

# The same bytes everywhere, whatever the reader's clock, zone and language.
export LC_ALL := C.UTF-8
export TZ := UTC
export SOURCE_DATE_EPOCH := 1704067200
export FORCE_SOURCE_DATE := 1
export OPENBLAS_NUM_THREADS := 1
export OMP_NUM_THREADS := 1

profiles := quick lecture full
paper_quick   := paper-quick.pdf
paper_lecture := paper.pdf
paper_full    := paper-full.pdf

.PHONY: all paper figures results record check check-long check-bits bench data clean help why setup
all: paper
goals := $(or $(MAKECMDGOALS),all)

# $(eval $(refuse)): $(problem) as one line, and status 1.  After $(error) make
# ends with 2; asked a question whose answer is no, it ends with 1.
define refuse
$(if $(problem),$(shell echo '$(subst ','"'"',$(problem))' >&2))
MAKEFLAGS += --question
.PHONY: $(goals)
endef

ifneq ($(PROFILE),$(firstword $(filter $(profiles),$(PROFILE))))
problem := profile: expected quick, lecture or full, found $(PROFILE)
else ifneq (,$(filter-out setup help clean data,$(if $(filter setup,$(goals)),setup,$(goals))))
problem := $(shell tools/setup --check)
endif

ifneq (,$(problem))
$(eval $(refuse))
$(goals): ; @:
else ifneq (,$(filter setup,$(goals)))
# ---- setup: alone, and before anything else --------------------------------
# A bare machine has no noweb yet, so no chapter is read in here; what else was
# asked for is made by a make of its own once setup is done.
rest := $(filter-out setup,$(goals))
ifeq (,$(findstring n,$(filter-out -%,$(firstword $(MAKEFLAGS)))))
failed := $(shell tools/setup >&2 || echo yes)
endif
ifneq (,$(failed))
$(eval $(refuse))
$(goals): ; @:
else
setup: ; @:
ifneq (,$(rest))
.PHONY: $(rest)
$(firstword $(rest)): setup
	+@$(MAKE) $(rest)
$(filter-out $(firstword $(rest)),$(rest)): $(firstword $(rest)) ; @:
endif
endif
else ifeq (,$(filter-out help clean data,$(goals)))
# ---- what needs no chapter --------------------------------------------------
help:
	@sed -n 's/^## //p' Makefile
clean:
	@rm -rf build
data:
	@tools/fetch-data $(DATA)
else
# ---- everything else --------------------------------------------------------
## make                 the report of the profile: paper.pdf
## make setup           what is missing on this machine, by apt
## make paper           the same as make
## make figures         figures/PROFILE/*.pdf, *.svg, *.png, for slides too
## make results         the numbers, compared with those of record
## make record          the numbers, written to results/PROFILE
## make CHAPTER         one chapter's results and figures (make knots)
## make check           the tests, and the quick numbers against those of record
## make why FILE=...    why a file would be made again, in words
## make data            MNIST, CIFAR-10 and notMNIST into data/, checked
## make check-long      fuzzers, sanitizers, all 2^32 floats, warnings: an hour
## make check-bits      the same bits from compilers, kernels and threads: minutes
## make bench           our speed beside that of the peers
## make clean           removes build/, nothing else
## make help            this list
##
## PROFILE=quick|lecture|full   how much work; lecture unless given
## DATA=dir                     the data sets of the full profile; data unless given
## HIDE=pattern                 chunks left out of the page; HIDE= prints all
## JOBS=n                       threads of a step; all cores unless given
## WEIGHTS=file.safetensors     a network of yours, in the chapter lipschitz
## ITEMS="sgemm train"          what make bench measures (tools/bench --help)
## ROUNDS=n                     pairs of runs of each item of make bench

CC       := gcc
WARNINGS := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion \
            -Wdouble-promotion -Wformat=2 -Wmissing-prototypes \
            -Wstrict-prototypes
CFLAGS   := -std=c17 -O2 -g -ffp-contract=off -D_GNU_SOURCE $(WARNINGS) \
            -ffile-prefix-map=$(CURDIR)=.
LDLIBS   := -Wl,--as-needed -lgsl -llapacke -lopenblas -lglpk -lgmp -lmpfr \
            -ljansson -lpng -lz -lm -pthread
NOWEB    := /usr/lib/noweb

S := build/src
B := build/$(PROFILE)
F := figures/$(PROFILE)
T := build/bin/tool

# Recipe helpers.
say  = @printf '  %-7s %s\n'
# $(call keep,NEW,OLD): NEW takes OLD's place only if the two differ
keep = if cmp -s $1 $2; then rm -f $1; else mv -f $1 $2; fi
# $(call note,FILE,TEXT): writes [TEXT] into FILE, now, only if it says another
same = $(if $(subst |$1,,|$2)$(subst |$2,,|$1),,yes)
note = $(if $(call same,[$(strip $2)],$(file <$1)),,$(file >$1,[$(strip $2)]))

names := $(sort $(basename $(notdir $(wildcard chapters/*.nw))))
steps :=
drawn :=
chapter_tests :=

$(shell mkdir -p build/bin $T build/lib build/tests build/tex $B/figures $B/new $F \
    $(addprefix $S/,$(names)) $(addprefix experiments/,$(names)))
$(call note,build/settings,$(CC) $(CFLAGS) $(LDLIBS))
$(call note,build/hidden,$(HIDE))
build/settings build/hidden: ;

# ---- tangle ------------------------------------------------------------------
# Every root of a chapter becomes a file; a file whose text is the same keeps
# its old time.  The compiler's copy carries #line, so that it speaks of the
# chapter; the copy that people read, experiments/NAME/, does not.
$S/%/.tangled: chapters/%.nw Makefile
	$(say) TANGLE $<
	@noroots $< | sed 's/^<<//; s/>>$$//' > $(@D)/.roots
	@while read -r root; do \
	   case "$$root" in \
	     manifest|claims|*.gp) how= ;; \
	     *.c) how=-L ;; \
	     *) echo "$<: expected roots *.c, *.gp, manifest, claims, found <<$$root>> (no chunk uses it)" >&2; exit 1 ;; esac; \
	   notangle $$how -R"$$root" $< > $(@D)/.new; \
	   $(call keep,$(@D)/.new,"$(@D)/$$root"); \
	   case "$$root" in *.c|*.gp) \
	     notangle -R"$$root" $< > $(@D)/.new; \
	     $(call keep,$(@D)/.new,"experiments/$*/$$root");; esac; \
	 done < $(@D)/.roots
	@test -e $(@D)/claims || : > $(@D)/claims
	@{ echo roots := $$(cat $(@D)/.roots); cat $(@D)/manifest; } > $(@D)/.new
	@$(call keep,$(@D)/.new,$(@D)/chapter.mk)
	@touch $@
$(foreach c,$(names),$(eval $S/$c/chapter.mk $S/$c/claims: $S/$c/.tangled ;))

# What a chapter declares is read back here; make starts over if it changed.
define read_chapter
roots :=
include $S/$1/chapter.mk
chapter_tests += $$(addprefix $S/$1/,$$(filter %.test.c,$$(roots)))
steps += $$(addprefix $1/,$$($1.steps))
$$(foreach t,$$($1.steps),$$(foreach f,$$($1/$$t.figures),$$(eval figure.$$f := $1/$$t)))
endef
$(foreach c,$(names),$(eval $(call read_chapter,$c)))
ordered := $(notdir $(subst :,/,$(shell printf '%s\n' $(foreach c,$(names),$($c.order):$c) | sort -n)))
$(call note,build/chapters,$(ordered))
$(call note,$B/steps,$(steps))
build/chapters $B/steps: ;

# ---- the library and the tools -----------------------------------------------
headers := $(sort $(wildcard lib/*.h))
sources := $(sort $(wildcard lib/*.c))
objects := $(sources:lib/%.c=build/lib/%.o)
library := build/lib/libuh.a
build/lib/%.o: lib/%.c build/settings
	$(say) CC $<
	@$(CC) $(CFLAGS) -Ilib -MMD -MP -MF build/lib/$*.d -c $< -o $@
-include $(wildcard build/lib/*.d build/tests/*.d)
$(library): $(objects)
	@rm -f $@ && ar rcD $@ $^
# (a tool, too, is newer only if its program changed)
$T/%.debug: tools/%.c $(library) build/settings
	$(say) CC $<
	@$(CC) $(CFLAGS) -Ilib $< $(library) $(LDLIBS) -Wl,--build-id=none -o $@
	@strip -g -o $T/$*.new $@
	@$(call keep,$T/$*.new,$T/$*)
tools := $(patsubst tools/%.c,$T/%,$(wildcard tools/*.c))
$(tools): $T/%: $T/%.debug
	@test -e $@ || strip -g -o $@ $<

# ---- underhood, the tools to take away ----------------------------------------
build/underhood: $(wildcard tools/underhood/*.[ch]) $(library) build/settings
	$(say) CC tools/underhood
	@$(CC) $(CFLAGS) -Ilib $(filter %.c,$^) $(library) $(LDLIBS) -o $@

# ---- steps -------------------------------------------------------------------
# Compiled with line numbers, for gcc and gdb; then stripped of them.  A run
# hangs on the stripped program, whose bytes change only if its code does, and
# on the digest of the text of its code: an edit of prose, or of a comment,
# re-runs nothing.  A step is linked with the modules that its text names, and
# with no other, so that a change elsewhere leaves it alone.
# $(call data_of,STEP): the data sets that it reads in this profile.  One that is
# missing is said at once, not after an hour's work.
data_of = $($1.data) $($1.data.$(PROFILE))
ifneq (,$(filter-out check check-long check-bits why bench,$(goals)))
absent := $(strip $(foreach d,$(sort $(foreach e,$(steps),$(call data_of,$e))),$(if $(wildcard $(DATA)/$d/*),,$d)))
ifneq (,$(absent))
problem := data: profile $(PROFILE) expected the data sets $(absent) in $(DATA), found none (make data, or DATA=dir)
$(eval $(refuse))
$(absent:%=$(DATA)/%): ; @:
endif
absent := $(strip $(foreach e,$(steps),$(foreach f,$($e.files),$(if $(wildcard $(lastword $(subst =, ,$f))),,$f))))
ifneq (,$(absent))
problem := file: expected $(lastword $(subst =, ,$(absent))), found none (named as $(firstword $(subst =, ,$(absent))))
$(eval $(refuse))
endif
endif
define step_rules
$S/$1.c: $S/$(dir $1).tangled ;
build/bin/$1.debug: $S/$1.c $(objects) $T/source build/settings
	$(say) CC $$<
	@mkdir -p $$(@D)
	@$(CC) $(CFLAGS) -Ilib $$< $$$$($T/source objects $$<) $(LDLIBS) \
	   -Wl,--build-id=none -o $$@
	@strip -g -o build/bin/$1.new $$@
	@$$(call keep,build/bin/$1.new,build/bin/$1)
	@$T/source digest $$< > build/bin/$1.new
	@$$(call keep,build/bin/$1.new,build/bin/$1.digest)
build/bin/$1: build/bin/$1.debug
	@test -e $$@ || strip -g -o $$@ $$<
build/bin/$1.digest: build/bin/$1.debug ;

$(call note,$B/arguments.$(subst /,.,$1),$(if $(call data_of,$1),$(call data_of,$1) $(DATA)) $($1.needs) $($1.files))
$B/arguments.$(subst /,.,$1): ;
$B/$1/.done: build/bin/$1 build/bin/$1.digest $B/arguments.$(subst /,.,$1) \
    $(patsubst %,$B/%/.done,$($1.needs)) \
    $(foreach d,$(call data_of,$1),$(or $(wildcard $(DATA)/$d/*),$(DATA)/$d)) \
    $(foreach f,$($1.files),$(lastword $(subst =, ,$f)))
	$(say) RUN '$1 ($(PROFILE))'
	@rm -rf $B/new/$1 && mkdir -p $B/new/$1
	@$$< --profile $(PROFILE) --out $B/new/$1 --source "$$$$(cat $$<.digest)" \
	   $(if $(call data_of,$1),--data $(DATA)) \
	   $(foreach n,$($1.needs),--need $n=$B/$n) \
	   $(foreach f,$($1.files),--file $f) $(if $(JOBS),--jobs $(JOBS))
	@touch $B/new/$1/.done && rm -rf $B/$1 && mkdir -p $(dir $B/$1) \
	   && mv $B/new/$1 $B/$1
$(foreach f,$($1.figures),$(call figure_rules,$1,$f))
endef

# ---- figures: for the page, and set alone for slides --------------------------
# All is drawn under new/.  The path that gnuplot notes in the .tex and the date
# that cairo puts into the .pdf are taken out again.
define figure_rules
drawn += $B/figures/$2.tex
$S/$(dir $1)$2.gp: $S/$(dir $1).tangled ;
$B/figures/$2.tex $B/figures/$2.pdf $F/$2.pdf $F/$2.svg $F/$2.png &: \
  $S/$(dir $1)$2.gp $B/$1/.done tools/figure.gp tools/figure.tex chapters/type.sty
	$$(say) DRAW $2
	@rm -rf $B/new/figure-$2 && mkdir -p $B/new/figure-$2/alone
	@gnuplot -e "out='$B/new/figure-$2/$2'; data='$B/$1'" tools/figure.gp $$< \
	   > $B/new/figure-$2/log 2>&1 || { grep -m1 -E 'line [0-9]+:' $B/new/figure-$2/log \
	   || cat $B/new/figure-$2/log; exit 1; } >&2
	@cd $B/new/figure-$2 && sed -i 's|$B/new/figure-$2/||g' $2.tex && LC_ALL=C \
	   sed -i 's|/CreationDate (D:[0-9]*|/CreationDate (D:20240101000000|' $2*.pdf
	@TEXINPUTS=.:chapters:$B/new/figure-$2: pdflatex -interaction=batchmode -halt-on-error \
	   -output-directory=$B/new/figure-$2/alone -jobname=alone \
	   '\def\figurefile{$2.tex}\input{tools/figure.tex}' > /dev/null \
	   || { grep -m1 -A3 '^!' $B/new/figure-$2/alone/alone.log; exit 1; } >&2
	@cd $B/new/figure-$2/alone && mv alone.pdf $2.pdf && \
	   pdftocairo -svg $2.pdf $2.svg && \
	   pdftocairo -png -singlefile -r 300 $2.pdf $2
	@cd $B/new/figure-$2 && mv $2*.pdf $2.tex $(CURDIR)/$B/figures/ && \
	   cd alone && mv $2.pdf $2.svg $2.png $(CURDIR)/$F/

endef
$(foreach e,$(steps),$(eval $(call step_rules,$e)))

# ---- ledgers -------------------------------------------------------------------
# (the list of steps is noted, so that a step taken away is noticed)
define chapter_rules
$(call note,$B/steps.$1,$($1.steps))
$B/steps.$1: ;
$B/$1.jsonl: $B/steps.$1 $(patsubst %,$B/$1/%/.done,$($1.steps)) $S/$1/claims $T/ledger
	@$T/ledger merge --chapter $1 --profile $(PROFILE) --rules $S/$1/claims --out $$@ \
	   $(patsubst %,$B/$1/%/records.jsonl,$($1.steps))
.PHONY: $1
$1: $B/$1.jsonl $(foreach t,$($1.steps),$(foreach f,$($1/$t.figures),$B/figures/$f.tex))
endef
$(foreach c,$(names),$(eval $(call chapter_rules,$c)))
ledgers := $(names:%=$B/%.jsonl)
$B/numbers.tex: $(ledgers) $B/steps chapters/claims.tsv $T/numbers
	$(say) NUMBERS $@
	@$T/numbers --profile $(PROFILE) --claims chapters/claims.tsv --out $@ $(ledgers)

figures: $(drawn)
results: $(ledgers)
	@status=0; for c in $(ordered); do \
	   if test -e results/$(PROFILE)/$$c.jsonl; then \
	     $T/ledger compare $B/$$c.jsonl results/$(PROFILE)/$$c.jsonl || status=1; \
	   else echo "results/$(PROFILE)/$$c.jsonl: no numbers of record yet (make record)"; fi; \
	 done; exit $$status
record: $(ledgers)
	@mkdir -p results/$(PROFILE); for c in $(ordered); do \
	   cp $B/$$c.jsonl results/$(PROFILE)/$$c.new; \
	   $(call keep,results/$(PROFILE)/$$c.new,results/$(PROFILE)/$$c.jsonl); done

# ---- weave, typeset --------------------------------------------------------------
# noweave's own pipeline, spelled out: noweave itself reports success even when
# one of its filters fails, and would leave an empty chapter.
build/tex/%.tex: chapters/%.nw $T/nwpress build/hidden
	$(say) WEAVE $<
	@$(NOWEB)/markup $< | $T/nwpress hide '$(HIDE)' \
	   | $(NOWEB)/autodefs.c | $(NOWEB)/finduses | $(NOWEB)/noidx \
	   | $T/nwpress dress | $(NOWEB)/totex > $@.new
	@mv $@.new $@
build/tex/chapters.tex: build/chapters
	@printf '\\input{%s}\n' $(ordered) > $@

# A second try without the old .aux and .toc: they may still name a number that
# has been taken away.
latex = TEXINPUTS=.:chapters:build/tex:$B:$B/figures: BIBINPUTS=chapters: \
        latexmk -pdf -silent -halt-on-error -file-line-error -outdir=$B/paper \
        paper.tex > $B/latexmk.log 2>&1
$B/paper/paper.pdf: paper.tex chapters/house.sty chapters/type.sty $B/numbers.tex \
    build/tex/chapters.tex $(names:%=build/tex/%.tex) $(drawn) $(wildcard chapters/refs.bib)
	$(say) TYPESET $@
	@$(latex) || { rm -rf $(@D); $(latex); } || \
	   { grep -m1 -A4 -E '^!|:[0-9]+: ' $(@D)/paper.log || cat $B/latexmk.log; \
	     rm -f $@; exit 1; } >&2
	@grep -E '^(Overfull|LaTeX Warning: (Ref|Cit))' $(@D)/paper.log >&2 || true
	@touch $@
$(paper_$(PROFILE)): $B/paper/paper.pdf
	@cp $< $@.new && mv $@.new $@
	@echo "$@: $$(pdfinfo $@ | sed -n 's/^Pages: *//p') pages, profile $(PROFILE)"
paper: $(paper_$(PROFILE))

# ---- tests -------------------------------------------------------------------------
# The library's in tests/, those of a chapter's chunks in its roots *.test.c; each
# is passed once and again only if what it rests on changed.
references := $(patsubst tests/%.c,build/tests/%.o,$(sort $(wildcard tests/ref_*.c)))
programs   := $(patsubst tests/%.c,build/tests/%,$(sort $(wildcard tests/test_*.c)))
scripts    := $(sort $(wildcard tests/*.sh tests/*.py))
build/tests/%.o: tests/%.c build/settings
	@$(CC) $(CFLAGS) -Ilib -Itests -MMD -MP -MF build/tests/$*.d -c $< -o $@
build/tests/test_%: build/tests/test_%.o $(references) $(library)
	@$(CC) $(CFLAGS) $< $(references) $(library) $(LDLIBS) -lcmocka -o $@
# (what a test skips for want of data it runs when there is some; one that is
# not counted, since it says nothing in lines that begin with ok, has failed)
$(call note,build/tested-with,$(if $(filter undefined file default,$(origin DATA)),$(wildcard ../shared/data),$(DATA)))
build/tested-with: ;
build/tests/%.passed: build/tests/% build/tested-with
	$(say) TEST tests/$*.c
	@$< > $@.log 2>&1 && grep -q '^ok' $@.log || { grep -v '^ok' $@.log; exit 1; } >&2
	@touch $@
define chapter_test_rules
$1: $(dir $1).tangled ;
$1.passed: $1 $(library) build/settings
	$$(say) TEST $1
	@$(CC) $(CFLAGS) -Ilib $$< $(library) $(LDLIBS) -lcmocka -o $1.run
	@$1.run > $1.log 2>&1 && grep -q '^ok' $1.log || { grep -v '^ok' $1.log; exit 1; } >&2
	@touch $$@
endef
$(foreach t,$(chapter_tests),$(eval $(call chapter_test_rules,$t)))

.PHONY: check-quick
check:
	+@$(MAKE) PROFILE=quick check-quick
check-quick: $(addsuffix .passed,$(programs) $(chapter_tests)) $(ledgers) $T/source build/underhood
	@for c in $(ordered); do for t in $(foreach e,$(steps),$e); do \
	   case $$t in $$c/*) cmp -s <($T/source text $S/$$t.c) <($T/source text experiments/$$t.c) \
	     || { echo "experiments/$$t.c: expected the tokens of $S/$$t.c, found others" >&2; exit 1; };; esac; done; done
	@for t in $(scripts); do printf '  %-7s %s\n' TEST $$t; $$t; done
	+@$(MAKE) results
	@cat $(addsuffix .passed.log,$(programs)) $(addsuffix .log,$(chapter_tests)) 2>/dev/null \
	   | awk '/# SKIP/ { skipped++; next } /^ok/ { passed++ } \
	     END { printf "%d tests passed, %d skipped\n", passed, skipped }'

why:
	@PROFILE=$(PROFILE) tools/why $(FILE)
check-long:
	@tools/check-long
check-bits:
	@tools/check-bits
# (bench_fmath once more with the library's functions as they are without AVX-512)
benches := $(patsubst tools/%.c,$T/%,$(wildcard tools/bench_*.c))
$(benches:=.debug): tools/bench.h
$T/bench_fmath_avx2: tools/bench_fmath.c lib/fmath.c $(library) build/settings
	$(say) CC '$< without AVX-512'
	@$(CC) $(CFLAGS) -DUH_NO_AVX512 -Ilib $(filter %.c,$^) $(library) $(LDLIBS) -o $@
bench: $(benches) $T/bench_fmath_avx2
	@tools/bench $(if $(ROUNDS),--rounds $(ROUNDS)) $(ITEMS)
endif

# make why looks, with a shell that does nothing.
ifdef WHY
SHELL := /bin/true
endif
