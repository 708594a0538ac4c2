//! The sans-IO tail sampler: policies, verdicts with reasons, the trace store.
