//! What happens in which world: each test is a sentence about behaviour. Every plan on the way is linted.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod world;

use world::*;

#[test]
fn a_public_registry_ends_locked_and_proven() {
    let mut world = World::everyday();
    world.settle(60);
    assert_eq!((world.state().as_str(), world.summary().as_str()), ("Locked", "Locked"));
    assert!(world.all_closed(), "{:?}", world.closed());
    println!("{:#?}", world.journal);
}
