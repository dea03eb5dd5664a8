//! The whole product against real parts: kube-apiserver and etcd with RBAC on, azure-sim over HTTPS, the built operator and
//! agents under their own ServiceAccounts. Safety is judged from the simulator's world and journal, never from our own status.

#![allow(clippy::unwrap_used)]

mod adversity;
mod attacks;
mod bad_input;
mod break_glass;
mod clouds;
mod clusters;
mod command_line;
mod crowd;
mod deletion;
mod forged_words;
mod grants;
mod lying_agent;
mod rights;
mod secured;
mod setting;
