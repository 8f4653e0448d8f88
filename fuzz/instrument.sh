#!/bin/sh
# Compiles our own crates so that libFuzzer sees which branches an input takes; all others stay as they are built anyway.
#   RUSTC_WORKSPACE_WRAPPER="$PWD/fuzz/instrument.sh" cargo build --release -p flowgap-fuzz --bins
exec "$@" -C passes=sancov-module -C llvm-args=-sanitizer-coverage-level=4 \
    -C llvm-args=-sanitizer-coverage-inline-8bit-counters -C llvm-args=-sanitizer-coverage-pc-table \
    -C llvm-args=-sanitizer-coverage-trace-compares -C debug-assertions -C overflow-checks
