//! Whole passes in one process, on paused time: the real reconcile and controller, a simulated Azure behind the real client, an
//! API server and agents in process. Safety is judged from the simulator's world and from what the agents tried.

// Support code of tests lies outside test functions, where clippy does not recognise it as such.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::wildcard_enum_match_arm
)]

mod absence;
mod act;
mod agents;
mod api_server;
mod apply;
mod arm;
mod campaign;
mod clients;
mod evidence;
mod fence;
mod gated;
mod grants;
mod hanging;
mod invalid;
mod lanes;
mod locks;
mod observe;
mod past;
mod pausing;
mod recording;
mod requests;
mod simulation;
mod testbed;
mod watching;
mod wire;
