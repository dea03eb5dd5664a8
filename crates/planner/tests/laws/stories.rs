//! How worlds come to be: visits, crashes and blows in turn.

use proptest::prelude::*;
use sreg_api::registry::{ManagementPolicy, PublicAccess};
use sreg_planner::Plan;

use crate::world::scramble::Blow;
use crate::world::*;

fn blows() -> impl Strategy<Value = Blow> {
    prop_oneof![
        Just(Blow::EraseStatus),
        Just(Blow::Restart),
        Just(Blow::OpenRegistry),
        Just(Blow::OpenStorage),
        Just(Blow::OpenContainerRegistry),
        Just(Blow::CloseRegistry),
        Just(Blow::CloseStorage),
        any::<u8>().prop_map(Blow::RemoveEndpoint),
        any::<u8>().prop_map(Blow::FailEndpoint),
        any::<u8>().prop_map(Blow::RemoveZone),
        any::<u8>().prop_map(Blow::RemoveLinks),
        any::<u8>().prop_map(Blow::RemoveRecords),
        any::<u8>().prop_map(Blow::RemoveZoneGroup),
        Just(Blow::DropClaim),
        Just(Blow::DropFinalizer),
        Just(Blow::DropSnapshot),
        any::<u8>().prop_map(Blow::DropProbe),
        any::<u8>().prop_map(Blow::RoundOfSomebodyElse),
        Just(Blow::Retag),
        Just(Blow::NewReplica),
        Just(Blow::Strangers),
        any::<u16>().prop_map(Blow::TimePasses),
    ]
}

/// Some visits, then perhaps one whose process dies after its writes and before its report, then perhaps a blow.
#[derive(Debug, Clone)]
pub struct Chapter {
    visits: u8,
    dies: bool,
    blow: Option<Blow>,
}

/// How a world comes to be: its shape, then chapter after chapter.
#[derive(Debug, Clone)]
pub struct Story {
    pub two_regions: bool,
    pub slow: bool,
    pub cascades: bool,
    pub observe: bool,
    pub wants_open: bool,
    pub chapters: Vec<Chapter>,
}

pub fn stories() -> impl Strategy<Value = Story> {
    let chapter = (0u8..12, prop::bool::weighted(0.3), prop::option::of(blows()));
    let chapter = chapter.prop_map(|(visits, dies, blow)| Chapter { visits, dies, blow });
    let chapters = prop::collection::vec(chapter, 0..6);
    (
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
        prop::bool::weighted(0.1),
        prop::bool::weighted(0.15),
        chapters,
    )
        .prop_map(|(two_regions, slow, cascades, observe, wants_open, chapters)| Story {
            two_regions,
            slow,
            cascades,
            observe,
            wants_open,
            chapters,
        })
}

impl Story {
    /// The world that the story ends in.
    pub fn tell(&self) -> World {
        self.tell_to(|_, _, _| {})
    }

    /// The same, with somebody who listens: the world before each visit, its plan, the world after it.
    pub fn tell_to(&self, mut listen: impl FnMut(&World, &Plan, &World)) -> World {
        let mut world = self.begin();
        for chapter in &self.chapters {
            for _ in 0..chapter.visits {
                let before = world.clone();
                let (plan, report) = world.visit();
                listen(&before, &plan, &world);
                world.pass(report.requeue);
            }
            if chapter.dies {
                let before = world.clone();
                let plan = world.plan();
                world.die_after(&plan);
                listen(&before, &plan, &world);
            }
            if let Some(blow) = chapter.blow {
                world.suffer(blow);
            }
        }
        world
    }

    fn begin(&self) -> World {
        let mut world = if self.two_regions {
            World::two_regions(SPEC)
        } else {
            World::everyday()
        };
        world.slow = self.slow;
        world.cascades = self.cascades;
        if self.observe {
            world.respec(|o| o.spec.management_policy = ManagementPolicy::Observe);
        }
        if self.wants_open {
            world.respec(|o| o.spec.public_access.desired = PublicAccess::Enabled);
        }
        world
    }
}
