//! The batch processor: concatenates wire bytes.
