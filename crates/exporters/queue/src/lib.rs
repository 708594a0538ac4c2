//! The sending queue, workers and retries that every exporter shares.
