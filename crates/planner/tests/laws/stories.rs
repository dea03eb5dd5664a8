//! How worlds come to be: visits, crashes, blows, people and agents that lie, in turn.

use proptest::prelude::*;
use sreg_api::registry::{LockdownGate, LockdownSpec, ManagementPolicy, PublicAccess, RollbackPolicy, RollbackSpec};
use sreg_planner::plan::WaitReason;
use sreg_planner::{Plan, Report};

use crate::world::people::Lie;
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
        Just(Blow::SwitchOn),
        any::<u8>().prop_map(Blow::Silence),
        (any::<u8>(), lies()).prop_map(|(at, lie)| Blow::Lies(at, lie)),
        (any::<u8>(), any::<u8>()).prop_map(|(network, name)| Blow::Break(network, name)),
        Just(Blow::Mend),
        (1u8..90).prop_map(Blow::BreakGlass),
        Just(Blow::EndBreakGlass),
        Just(Blow::Approve),
        Just(Blow::Approve),
        Just(Blow::Withdraw),
        Just(Blow::Turn),
        Just(Blow::Misspec),
        Just(Blow::Misspec),
        Just(Blow::Repair),
        any::<u16>().prop_map(Blow::TimePasses),
        any::<u8>().prop_map(Blow::Unread),
        any::<u8>().prop_map(Blow::Unread),
        (any::<u8>(), any::<u8>()).prop_map(|(step, how)| Blow::Thwart(step, how)),
        (any::<u8>(), any::<u8>()).prop_map(|(step, how)| Blow::Thwart(step, how)),
        Just(Blow::WipeTags),
        any::<u8>().prop_map(Blow::TakeGrant),
        Just(Blow::GiveGrants),
        Just(Blow::Rules),
        any::<bool>().prop_map(Blow::RefuseRules),
        any::<u8>().prop_map(Blow::Lock),
        Just(Blow::Neighbours),
        Just(Blow::Callers),
        Just(Blow::Objections),
    ]
}

fn lies() -> impl Strategy<Value = Lie> {
    prop::sample::select(vec![
        Lie::FormerRound,
        Lie::OtherSubject,
        Lie::FormerQuestion,
        Lie::OtherAddresses,
        Lie::TooFew,
        Lie::OneMissing,
        Lie::AllFails,
        Lie::SeesNothing,
    ])
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
    /// A lost path opens it again within the grace period.
    pub reopens: bool,
    /// The lock waits for an approval.
    pub approval: bool,
    /// Everything is built and proven when the story begins.
    pub locked: bool,
    pub chapters: Vec<Chapter>,
}

/// What somebody who listens is told of.
pub enum Moment<'a> {
    /// A visit, whether it was reported or its process died before that.
    Visit {
        before: &'a World,
        plan: &'a Plan,
        after: &'a World,
        reported: bool,
    },
    /// Another process is there now.
    Restart,
}

pub fn stories() -> impl Strategy<Value = Story> {
    let chapter = (0u8..12, prop::bool::weighted(0.3), prop::option::of(blows()));
    let chapter = chapter.prop_map(|(visits, dies, blow)| Chapter { visits, dies, blow });
    let chapters = prop::collection::vec(chapter, 0..7);
    let world = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    let spec = (
        prop::bool::weighted(0.1),
        prop::bool::weighted(0.15),
        prop::bool::weighted(0.4),
        prop::bool::weighted(0.2),
    );
    (world, spec, chapters).prop_map(|(world, spec, chapters)| {
        let (two_regions, slow, cascades, locked) = world;
        let (observe, wants_open, reopens, approval) = spec;
        Story {
            two_regions,
            slow,
            cascades,
            observe,
            wants_open,
            reopens,
            approval,
            locked: locked && !observe && !wants_open,
            chapters,
        }
    })
}

impl Story {
    /// The same of a locked registry whose tags somebody changes, and where writing them back, and nothing else, goes wrong in this way.
    pub fn while_upkeep_fails(mut self, how: u8) -> Story {
        let set_tags = contrary::STEPS.iter().position(|step| *step == "set-tags");
        let set_tags = u8::try_from(set_tags.unwrap()).unwrap();
        let chapter = |blow, visits| Chapter {
            visits,
            dies: false,
            blow: Some(blow),
        };
        (self.locked, self.observe, self.wants_open) = (true, false, false);
        let before = [
            chapter(Blow::Thwart(set_tags, how), 0),
            chapter(Blow::Retag, 0),
            chapter(Blow::TimePasses(9), 9),
        ];
        self.chapters.splice(0..0, before);
        self
    }

    /// The world that the story ends in.
    pub fn tell(&self) -> World {
        self.tell_to(|_| {})
    }

    /// The same, with somebody who listens.
    pub fn tell_to(&self, mut listen: impl FnMut(Moment<'_>)) -> World {
        let mut world = self.begin();
        if self.locked {
            for _ in 0..80 {
                if world.all_closed() && world.state() == "Locked" {
                    break;
                }
                world.approve();
                listening(&mut world, &mut listen);
            }
            assert_eq!(world.state(), "Locked", "{}", world.message());
        }
        for chapter in &self.chapters {
            for _ in 0..chapter.visits {
                listening(&mut world, &mut listen);
            }
            if chapter.dies {
                let before = world.clone();
                let plan = world.plan();
                world.die_after(&plan);
                listen(Moment::Visit {
                    before: &before,
                    plan: &plan,
                    after: &world,
                    reported: false,
                });
                listen(Moment::Restart);
            }
            if let Some(blow) = chapter.blow {
                world.suffer(blow);
                if blow == Blow::Restart {
                    listen(Moment::Restart);
                }
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
        world.allowed_all_but(&[]);
        world.slow = self.slow;
        world.cascades = self.cascades;
        if self.observe {
            world.respec(|o| o.spec.management_policy = ManagementPolicy::Observe);
        }
        if self.wants_open {
            world.respec(|o| o.spec.public_access.desired = PublicAccess::Enabled);
        }
        if self.reopens {
            world.respec(|o| {
                o.spec.public_access.rollback = Some(RollbackSpec {
                    on_failure: RollbackPolicy::Reopen,
                    grace_period: "15m".into(),
                })
            });
        }
        if self.approval {
            world.respec(|o| {
                o.spec.public_access.lockdown = Some(LockdownSpec {
                    wait_for: vec![LockdownGate::Approval],
                    window: None,
                })
            });
        }
        world
    }
}

/// One visit with somebody who listens, and the time until the next.
pub fn listening(world: &mut World, listen: &mut impl FnMut(Moment<'_>)) -> Report {
    let before = world.clone();
    let (plan, report) = world.visit();
    listen(Moment::Visit {
        before: &before,
        plan: &plan,
        after: world,
        reported: true,
    });
    world.pass(report.requeue);
    report
}

/// Whether status is brought up to date before the next visit writes.
pub fn records_first(plan: &Plan) -> bool {
    let about_to_open = |w: &sreg_planner::Wait| w.reason == WaitReason::RollbackAboutToOpen;
    !plan.assessment.names_about_to_change.is_empty() || plan.waits.iter().any(about_to_open)
}
