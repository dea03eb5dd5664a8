//! What a new user types on the first day, with the real kubectl against a real API server: the words that kubectl knows for our
//! kinds, what a pipeline reads of an object that nobody has looked at.

#![allow(clippy::unwrap_used)]

mod commands;
mod explain;
mod log;
mod older;
mod proxy;
mod words;
mod world;

use anyhow::Result;
use sreg_testbed::repository;
use sreg_testkit::ControlPlane;

/// A server of our own with the committed definitions and no operator: what is deleted here is deleted for everybody.
async fn plane() -> Result<ControlPlane> {
    let plane = ControlPlane::start().await?;
    plane.install_crds(repository().join("deploy/crds")).await?;
    Ok(plane)
}
