//! The OTLP wire format: borrowed views, validation, slicing, splicing, JSON mapping. No I/O.
