//! Self metrics, logs and the admin endpoints.
