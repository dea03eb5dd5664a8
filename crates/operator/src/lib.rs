//! The operator's binary as a library: what can be typed ([`cli`]), what it starts ([`run`], [`agent`]) and the manifests that
//! ship ([`manifests`]). Everything here wires; what is decided, is decided in the crates below.

pub mod agent;
pub mod cli;
pub mod logging;
pub mod manifests;
pub mod process;
pub mod replay;
pub mod run;
pub mod settings;
