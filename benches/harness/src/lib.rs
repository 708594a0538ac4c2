//! The benchmark harness: loader, counting sink, runner.
