//! Liveness, readiness and leadership are three questions; readiness is a fixed set of gates known before anything starts.
