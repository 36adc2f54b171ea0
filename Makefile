# make check      compile the library, run the tests of tests/
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-builtin-rules --no-builtin-variables
.DELETE_ON_ERROR:
.SECONDARY:
export LC_ALL := C.UTF-8
export OPENBLAS_NUM_THREADS := 1
export OMP_NUM_THREADS := 1

CC       := gcc
WARNINGS := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion \
            -Wdouble-promotion -Wformat=2 -Wmissing-prototypes \
            -Wstrict-prototypes
CFLAGS   := -std=c17 -O2 -g -ffp-contract=off -D_GNU_SOURCE $(WARNINGS) \
            -ffile-prefix-map=$(CURDIR)=.
LDLIBS   := -lgsl -llapacke -lopenblas -lglpk -lgmp -lmpfr -ljansson -lpng -lz \
            -lm -pthread

headers := $(wildcard lib/*.h tests/*.h)
objects := $(patsubst lib/%.c,build/lib/%.o,$(wildcard lib/*.c))
refs    := $(patsubst tests/%.c,build/tests/%.o,$(wildcard tests/ref_*.c))
tests   := $(patsubst tests/%.c,build/tests/%,$(wildcard tests/test_*.c))

all: check
build/lib/%.o: lib/%.c $(headers) Makefile
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -Ilib -c $< -o $@
build/tests/%.o: tests/%.c $(headers) Makefile
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -Ilib -Itests -c $< -o $@
build/tests/%: build/tests/%.o $(refs) $(objects)
	$(CC) $^ $(LDLIBS) -lcmocka -o $@
check: $(tests)
	@for t in $(tests); do $$t || exit 1; done
clean:
	rm -rf build
