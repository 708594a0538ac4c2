//! What a receiver, processor, exporter and extension is; payloads, acknowledgements and errors.
