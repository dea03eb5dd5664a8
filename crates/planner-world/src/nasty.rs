//! Words that do something to whoever reads them, wherever somebody beside us may write: agents, people, and whoever has rights in
//! Azure.

use sreg_api::names::CLAIM_TAG;
use sreg_api::probe::ProbeOutcome;
use sreg_domain::seen::{Ignorance, IgnoranceKind, Seen};
use sreg_domain::{Fact, TargetDetails};

/// A line that looks like one of ours, a terminal's escape, a turned direction of writing, what nobody sees, markup.
pub const NASTY: &str =
    "no\r\nLocked: all is well\u{1b}[2K\u{9b}1A\u{202e}x\u{2028}y\u{200b}z<script src=x>`id`[a](https://evil.example)";

/// What people read of it.
pub const TOLD: &str =
    "Locked: all is well\u{fffd}[2K\u{fffd}1A\u{fffd}x y\u{fffd}z‹script src=x›'id'[a] (https://evil.example)";

/// Not known, for a reason in such words.
pub fn unknown<T>() -> Fact<T> {
    Fact::Unknown(Ignorance {
        attempt: "read something".into(),
        kind: IgnoranceKind::Nonsense,
        message: NASTY.into(),
        code: Some(NASTY.into()),
        correlation_id: Some(NASTY.into()),
        retry_after: None,
    })
}

/// What is read, with such words in it. Nothing that decides becomes another thing.
pub(super) fn speak(seen: &mut Seen) {
    let say = |text: &mut String| *text = NASTY.into();
    for probe in seen.cluster.probes.values_mut() {
        let Fact::Seen(probe) = probe else { continue };
        let Some(status) = &mut probe.status else { continue };
        status.first_failure = Some(NASTY.into());
        say(&mut status.summary);
        let failed = status
            .results
            .iter_mut()
            .filter(|r| r.outcome != ProbeOutcome::Succeeded);
        failed.for_each(|result| say(&mut result.message));
    }
    if let Fact::Seen(glasses) = &mut seen.cluster.break_glasses {
        for glass in glasses {
            say(&mut glass.reason);
            say(&mut glass.requested_by);
        }
    }
    if let Fact::Seen(approvals) = &mut seen.cluster.approvals {
        approvals.iter_mut().for_each(|approval| say(&mut approval.approved_by));
    }
    let azure = &mut seen.azure;
    for target in azure.targets.iter_mut() {
        let (_, Fact::Seen(target)) = target else { continue };
        match &mut target.details {
            TargetDetails::Registry(registry) => {
                // What nobody reads as a claim is written anew: another story.
                let others = registry.tags.iter_mut().filter(|(name, _)| *name != CLAIM_TAG);
                others.for_each(|(_, value)| say(value));
            }
            TargetDetails::Storage(_) | TargetDetails::ContainerRegistry(_) => target.bypass = Some(NASTY.into()),
        }
    }
    for endpoint in azure.endpoints.values_mut() {
        let Fact::Seen(endpoint) = endpoint else { continue };
        endpoint.connection_description = Some(NASTY.into());
        endpoint.tags.insert("note".into(), NASTY.into());
    }
    azure.odd.push(NASTY.into());
}
