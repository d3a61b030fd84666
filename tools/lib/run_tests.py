"""Runs the suites of tools/test on the build that SLUICE_BUILD names, and adds up what passed and failed."""
import argparse
import base64
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from sluicelab import ROOT

BUILD = Path(os.environ["SLUICE_BUILD"])

# A sanitizer's finding ends the program with this code, so that no test can pass over it.
SANITIZERS = {
    "ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0:exitcode=99:detect_stack_use_after_return=1",
    "LSAN_OPTIONS": f"suppressions={ROOT}/tests/lsan.supp:print_suppressions=0",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1:exitcode=99",
    "TSAN_OPTIONS": f"suppressions={ROOT}/tests/tsan.supp:halt_on_error=1:exitcode=99",
}

FUZZ_SECONDS = 20


class Score:
    """What passed and what failed, with the names of the latter."""

    def __init__(self, passed: int = 0, failed: list[str] | None = None):
        self.passed, self.failed = passed, failed or []

    def add(self, other: "Score"):
        self.passed += other.passed
        self.failed += other.failed


def run_quietly(command, **options) -> subprocess.CompletedProcess:
    return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)


def checks() -> Score:
    score = Score()
    for command in (["check_format"], ["check_includes"], ["check_drops"], ["check_headers", "--build", str(BUILD)]):
        start = time.monotonic()
        result = run_quietly([ROOT / "tools" / command[0], *command[1:]])
        good = result.returncode == 0
        print(f"{command[0]:<52} {time.monotonic() - start:8.1f} s{'' if good else '  failed'}", flush=True)
        if good:
            score.passed += 1
        else:
            score.failed.append(command[0])
            print(result.stdout)
    return score


def unit() -> Score:
    """Every GoogleTest case counts; a program that ended without a summary counts as one failure."""
    start = time.monotonic()
    result = run_quietly(["meson", "test", "-C", BUILD, "--no-rebuild", "--suite", "unit"], env={**os.environ, **SANITIZERS})
    log = BUILD / "meson-logs/testlog.json"
    score = Score()
    if not log.exists():
        print(result.stdout)
        return Score(0, ["meson test"])
    for line in log.read_text().splitlines():
        program = json.loads(line)
        output = program.get("stdout", "") + program.get("stderr", "")
        score.passed += sum(map(int, re.findall(r"^\[  PASSED  \] (\d+) tests?\.", output, re.M)))
        cases = re.findall(r"^\[  FAILED  \] ([\w/.]+)(?:, where .*)?$", output, re.M)
        score.failed += [f"{program['name']} {case}" for case in dict.fromkeys(cases)]
        if program["result"] not in {"OK", "EXPECTEDFAIL"}:
            if not cases:
                score.failed.append(f"{program['name']}: {program['result']}")
            print(output[-6000:])
    print(f"{'unit tests':<52} {time.monotonic() - start:8.1f} s  {score.passed} passed, {len(score.failed)} failed", flush=True)
    return score


def fuzz_one(what: str, name: str, max_len: int, seconds: int, seeds: bool = False) -> Score:
    """What it finds is printed, and is an input to run again."""
    program = ROOT / "build-fuzz/tests/fuzz" / name
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder) / "corpus"
        corpus.mkdir()
        env = {**os.environ, **SANITIZERS}
        result = run_quietly([program, "--seeds", corpus], env=env) if seeds else None
        if result is None or result.returncode == 0:
            result = run_quietly([program, f"-max_total_time={seconds}", f"-max_len={max_len}", f"-artifact_prefix={folder}/", corpus], env=env)
        good = result.returncode == 0
        if not good:
            print(result.stdout[-8000:])
            for finding in Path(folder).glob("*-*"):
                print(f"{finding.name}: {base64.b64encode(finding.read_bytes()).decode()}")
    runs = re.findall(r"^#(\d+)", result.stdout, re.M)
    print(f"{what:<52} {time.monotonic() - start:8.1f} s  {runs[-1] if runs else 0} inputs{'' if good else ', failed'}", flush=True)
    return Score(1) if good else Score(0, [name])


def fuzz() -> Score:
    """The whole packet path under packets that nobody thought of, and the TCP stack under segments bent from its state."""
    score = Score()
    for one in (
        fuzz_one("fuzzed packets", "fuzz_pipeline", 8192, FUZZ_SECONDS, seeds=True),
        fuzz_one("fuzzed TCP options", "fuzz_tcp_options", 64, FUZZ_SECONDS // 4),
        fuzz_one("fuzzed TCP segments", "fuzz_tcp_segments", 3000, FUZZ_SECONDS),
    ):
        score.passed += one.passed
        score.failed += one.failed
    return score


def golden() -> Score:
    runner = ROOT / "tests/golden/run_golden.py"
    start = time.monotonic()
    result = run_quietly([sys.executable, "-B", runner], env={**os.environ, **SANITIZERS})
    summary = re.findall(r"(\d+) passed, (\d+) failed", result.stdout)
    passed, failed = map(int, summary[-1]) if summary else (0, 1)
    if result.returncode != 0 or failed:
        failed = max(failed, 1)
        print(result.stdout[-12000:])
    print(f"{'golden packets':<52} {time.monotonic() - start:8.1f} s  {passed} passed, {failed} failed", flush=True)
    return Score(passed, ["golden"] * failed)


def e2e(extra: list[str]) -> Score:
    if os.geteuid() != 0:
        sys.exit("test: the e2e suite makes network namespaces: run as root (or choose suites: checks unit fuzz golden)")
    with tempfile.NamedTemporaryFile(suffix=".xml") as report:
        command = [sys.executable, "-B", "-m", "pytest", "-p", "no:cacheprovider", "-v", "--tb=short", "--no-header", "--durations=10",
                   f"--junitxml={report.name}", *extra, ROOT / "tests/e2e"]
        result = subprocess.run(command, stdin=subprocess.DEVNULL, env={**os.environ, **SANITIZERS, "PYTHONUNBUFFERED": "1"}, cwd=ROOT)
        try:
            suites = ElementTree.parse(report.name).getroot()
        except ElementTree.ParseError:
            return Score(0, [f"pytest: exit code {result.returncode}"])
    score = Score()
    for case in suites.iter("testcase"):
        name = f"{case.get('classname')}.{case.get('name')}"
        if case.find("failure") is not None or case.find("error") is not None:
            score.failed.append(name)
        elif case.find("skipped") is None:
            score.passed += 1
    if result.returncode not in {0, 1} and not score.failed:
        score.failed.append(f"pytest: exit code {result.returncode}")
    return score


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--suites", nargs="+", required=True)
    parser.add_argument("--pytest", nargs=argparse.REMAINDER, default=[])
    arguments = parser.parse_args()
    suites = {"checks": checks, "unit": unit, "fuzz": fuzz, "golden": golden, "e2e": lambda: e2e(arguments.pytest)}
    total = Score()
    for name in arguments.suites:
        total.add(suites[name]())
    for name in total.failed:
        print(f"failed: {name}")
    print(f"{total.passed} passed, {len(total.failed)} failed", flush=True)
    return 0 if total.passed and not total.failed else 1


if __name__ == "__main__":
    sys.exit(main())
