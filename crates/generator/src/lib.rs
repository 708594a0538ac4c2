//! A generator of realistic agent-task traces, for demonstrations, tests and benchmarks.
