#!/usr/bin/python3
"""bench.py: the driver of make bench, on timings that were recorded before.

Nothing here asks how fast anything is."""
import contextlib
import importlib.machinery
import importlib.util
import io
import os
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True


def loaded(name):
    loader = importlib.machinery.SourceFileLoader(name.split(".")[0], os.path.abspath("tools/" + name))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    sys.modules[loader.name] = module
    loader.exec_module(module)
    return module


bench = loaded("bench")

tests = []


def test(f):
    tests.append(f)
    return f


def player(records):
    """Measures by reading what was recorded; the order of the calls too."""
    left = {p: iter(runs) for p, runs in records.items()}
    calls = []

    def measure(program):
        calls.append(program)
        return next(left[program])

    measure.calls = calls
    return measure


def quiet(f, *more, **named):
    with contextlib.redirect_stderr(io.StringIO()):
        return f(*more, **named)


def run_of(seconds, share=1.0, threads=2, others=0.0):
    return bench.Run(seconds, share * threads * 0.1, 0.1, 0.2, others)


OURS = bench.Program(("ours",), "ours", 2)
PEER = bench.Program(("peer",), "peer 1.0", 2)
TORCH = [bench.Program(("torch", str(i)), "torch %d" % i, 2, False, (), "python3-torch") for i in (1, 2)]


def row(*peers):
    return bench.Row("item", "a row", "s", bench.seconds("%.3f"), OURS, list(peers))


@test
def ours_and_the_peer_take_turns():
    measure = player({OURS: [run_of(1)] * 3, PEER: [run_of(2)] * 3})
    result = bench.sample(row(PEER), 3, measure)
    return measure.calls == [OURS, PEER] * 3 and result.dropped == 0 and bench.line(row(PEER), result)[1:4] == ["1.000", "2.000", "2.00"]


@test
def a_pair_with_less_than_nine_tenths_of_its_cores_is_thrown_away():
    for ours, peer in ((0.89, 1.0), (1.0, 0.89)):
        measure = player({OURS: [run_of(9, ours), run_of(1), run_of(1, 0.91)], PEER: [run_of(1, peer), run_of(2), run_of(2)]})
        result = bench.sample(row(PEER), 2, measure)
        if result.dropped != 1 or result.pairs[PEER] != [(1, 2), (1, 2)]:
            return False
    return True


@test
def two_threads_are_owed_two_cores():
    one = bench.Program(("x",), threads=1)
    run = bench.Run(1, 0.1, 0.1)
    return not bench.disturbed(run, one) and bench.disturbed(run, OURS)


@test
def a_program_that_waits_by_itself_is_judged_by_what_others_took():
    cores, bench.CORES = bench.CORES, 2
    found = [bench.disturbed(run_of(1, 0.5, 2, others), TORCH[0]) for others in (0.0, 0.03, 0.05)]
    bench.CORES = cores
    return found == [False, False, True]  # of 0.2 s on two cores, 0.04 are a tenth


@test
def after_three_tries_a_round_the_pairs_at_hand_must_do():
    measure = player({OURS: [run_of(1), run_of(1, 0.5)] * 9, PEER: [run_of(3)] * 18})
    result = bench.sample(row(PEER), 5, measure)
    none = bench.sample(row(PEER), 5, player({OURS: [run_of(1, 0.1)] * 15, PEER: [run_of(3)] * 15}))
    return (len(result.pairs[PEER]), result.dropped) == (5, 4) and bench.line(row(PEER), none)[1:4] == ["-"] * 3 and bench.line(row(PEER), none)[7] == "15"


@test
def the_ratio_is_the_median_of_neighbors():
    measure = player({OURS: [run_of(s) for s in (1, 2, 4)], PEER: [run_of(s) for s in (3, 2, 16)]})
    return bench.line(row(PEER), bench.sample(row(PEER), 3, measure))[1:4] == ["2.000", "3.000", "3.00"]


@test
def of_several_settings_the_peers_best_counts():
    measure = player({OURS: [run_of(1)] * 6, TORCH[0]: [run_of(4)] * 3, TORCH[1]: [run_of(3)] * 3})
    cells = bench.line(row(*TORCH), bench.sample(row(*TORCH), 3, measure))
    return cells[2:4] == ["3.000", "3.00"] and cells[8] == "torch 2"


@test
def a_missing_peer_is_a_dash_and_one_line_with_the_package():
    measure = player({OURS: [run_of(1)] * 8})
    table, notes = quiet(bench.run, [row(*TORCH), row()], 2, measure, lambda package: False, 2)
    named = [n for n in notes if "python3-torch" in n]
    return table[0][1:4] == ["1.000", "-", "-"] and len(named) == 1 and "apt-get install" in named[0] and "not installed" in table[0]


@test
def a_row_of_too_many_threads_is_not_measured():
    table, _ = quiet(bench.run, [row(PEER)], 2, player({}), lambda package: True, 1)
    return table[0][1:4] == ["-", "-", "-"]


@test
def a_program_that_fails_is_one_line_and_the_rest_goes_on():
    bad = [bench.Program((sys.executable, "-c", c), threads=1) for c in ("import sys; sys.exit('no such thing')", "print('one two')")]
    good = bench.Program((sys.executable, "-c", "print(0.5, 1, 1)"))
    rows = [bench.Row("item", "a row", "s", bench.seconds("%.1f"), p, []) for p in bad + [good, bench.Program(("/nowhere",))]]
    table, notes = quiet(bench.run, rows, 1)
    return [r[1] for r in table] == ["-", "-", "0.5", "-"] and "status 1 and: no such thing" in notes[0] and "found status 0 and: one two" in notes[1] and "/nowhere" in notes[2]


@test
def an_interrupt_keeps_the_rows_before_it():
    def measure(program):
        if program is PEER:
            raise KeyboardInterrupt
        return run_of(1)

    table, notes = quiet(bench.run, [row(), row(PEER), row()], 2, measure, lambda package: True, 2)
    return len(table) == 1 and table[0][1] == "1.000" and any("1 of 3" in n for n in notes)


@test
def a_program_sees_its_own_settings_and_not_the_readers():
    os.environ["OPENBLAS_NUM_THREADS"] = "7"
    show = "import os; print(os.environ.get('OPENBLAS_NUM_THREADS', 3), 1, 1)"
    found = [bench.measure(bench.Program((sys.executable, "-c", show), environment=e)).seconds for e in ((), (("OPENBLAS_NUM_THREADS", "2"),))]
    del os.environ["OPENBLAS_NUM_THREADS"]
    return found == [1, 2]


@test
def copies_of_a_program_run_at_once_and_are_summed():
    script = """if True:
        import os, sys, time
        open(os.path.join(sys.argv[1], str(os.getpid())), "w").close()
        for _ in range(6000):
            if len(os.listdir(sys.argv[1])) == 2:
                print(0.5, 0.75, 1)
                break
            time.sleep(0.01)
    """
    with tempfile.TemporaryDirectory() as folder:
        run = bench.measure(bench.Program((sys.executable, "-c", script, folder), threads=2, copies=2))
    return (run.seconds, run.cpu, run.wall) == (0.25, 1.5, 1)


@test
def what_the_machine_allows_is_told_by_two_programs():
    rows = [r for r in bench.rows() if r.item == "sgemm-threads"]
    return [(r.ours.threads, r.peers[0].threads, r.peers[0].copies) for r in rows] == [(2, 1, 1), (2, 2, 2)] * 3


@test
def a_copy_that_fails_is_one_line():
    script = "import os, sys\ntry: os.mkdir(sys.argv[1])\nexcept OSError: sys.exit('the second')\nprint(1, 1, 1)"
    with tempfile.TemporaryDirectory() as folder:
        bad = bench.Program((sys.executable, "-c", script, os.path.join(folder, "x")), threads=2, copies=2)
        table, notes = quiet(bench.run, [bench.Row("item", "a row", "s", bench.seconds("%.1f"), bad, [])], 1, cores=2)
    return table[0][1] == "-" and "status 1 and: the second" in notes[0]


@test
def items_are_chosen_by_the_beginning_of_their_names():
    every = [bench.Row(item, "", "", None, OURS) for item in ("functions", "functions-avx2", "train-lenet", "train-dense")]
    names = lambda *words: [r.item for r in bench.chosen(every, words)]
    return names("train") == ["train-lenet", "train-dense"] and names("functions") == ["functions"] and names("functions-", "train-l") == ["functions-avx2", "train-lenet"] and len(names()) == 4


@test
def wrong_usage_is_one_line_and_status_2():
    for words, said in ((["sgem-square"], "sgem-square"), (["--round", "3"], "--round"), (["--rounds", "0"], "0"), (["--rounds"], "nothing")):
        run = subprocess.run([sys.executable, "tools/bench", *words], capture_output=True, text=True)
        if run.returncode != 2 or run.stdout or run.stderr.count("\n") != 1 or said not in run.stderr or not run.stderr.startswith("bench: "):
            return False
    text = subprocess.run([sys.executable, "tools/bench", "--help"], capture_output=True, text=True)
    return text.returncode == 0 and text.stdout.startswith("bench: ") and all(r.item in text.stdout for r in bench.rows())


@test
def the_peer_of_norms_knows_the_words_that_rows_give_it():
    words = [p.words[2] for r in bench.norms() for p in r.peers]
    return len(words) > 6 and set(words) <= set(loaded("bench_norm.py").NAMES)


@test
def the_table_has_one_line_a_row_and_the_notes_below():
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        bench.show([["a row", "1", "2", "2.00", "2", "s", "5", "0", "peer 1.0"], ["another", "-", "-", "-", "1", "s", "0", "0", "failed"]], ["a note"])
    lines = out.getvalue().split("\n")
    return len(lines) == 6 and lines[0].split()[:5] == ["item", "ours", "peer", "ratio", "threads"] and lines[1].split()[2:5] == ["1", "2", "2.00"] and lines[4] == "a note"


def main():
    failed = 0
    for i, f in enumerate(tests):
        try:
            result = f()
        except Exception as e:
            print("#", type(e).__name__, e)
            result = False
        print("%s %d - %s" % ("ok" if result else "not ok", i + 1, f.__name__))
        failed |= not result
    return failed


if __name__ == "__main__":
    sys.exit(main())
