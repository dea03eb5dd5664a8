//! The vantage point: carries out probes and reports what it finds.
