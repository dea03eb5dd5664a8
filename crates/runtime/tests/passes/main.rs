//! Whole passes in one process, on paused time: the real reconcile and controller, a simulated Azure behind the real client, an
//! API server and agents in process. Safety is judged from the simulator's world and from what the agents tried.

mod act;
mod agents;
mod api_server;
mod apply;
mod campaign;
mod fence;
mod simulation;
mod stand;
