//! Development only: corpora, fake backends and the conformance suite that every component passes.
