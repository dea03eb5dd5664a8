//! Metrics in the Prometheus text format. Label values come from closed sets; per-object series are removed with the object.
