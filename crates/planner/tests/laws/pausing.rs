//! Progress or pause: whatever comes of writes, nothing is written to again and again.

use std::time::Duration;

use proptest::prelude::*;

use crate::config;
use crate::stories::stories;
use crate::world::contrary;

/// Twelve for what opens, which is tried every five minutes, and those at the beginning, before pauses have grown.
const MOST: usize = 24;

proptest! {
    #![proptest_config(config())]

    /// A policy that undoes, a refusal with whatever code, an operation that fails, a lost answer: no world gets more than so many
    /// writes an hour to one resource; whoever erases status changes nothing about it.
    #[test]
    fn no_resource_is_written_to_again_and_again(
        story in stories(),
        step in prop::sample::select(&contrary::STEPS[..]),
        how in prop::sample::select(contrary::all()),
        erases in any::<bool>(),
    ) {
        let mut world = story.tell();
        world.writes.clear();
        world.thwarted(step, how.clone());
        let end = world.now + Duration::from_secs(3 * 3600);
        for visit in 0..4000 {
            if world.now >= end {
                break;
            }
            if erases && visit % 7 == 3 {
                world.seen.object.status = Default::default();
            }
            let (_, report) = world.visit();
            world.pass(report.requeue);
        }
        let most = world.most_writes_in_an_hour();
        prop_assert!(most <= MOST, "{step:?} {how:?}: {most} writes in an hour\n{:#?}", world.journal);
    }
}
