//! Marks probes whose agents do not report: what those say stays there, and would be read as if it were of today. Only the agent may
//! write a probe's status, so the mark is an annotation, and `kubectl get connectivityprobes` shows its age.

use jiff::Timestamp;
use sreg_domain::seen::VantagePointSeen;
use sreg_domain::{ClusterAction, Fact, StepKind};

use crate::conditions::whole_seconds;
use crate::contribution::cluster_step;
use crate::plan::Step;
use crate::view::View;

/// Steps for those whose mark is not, or no longer, true.
pub(crate) fn tell(view: &View<'_>) -> Vec<Step> {
    if view.seen.object.deleting {
        return Vec::new();
    }
    let cluster = &view.seen.cluster;
    let told = |(point, probe): (&String, &Fact<sreg_domain::seen::ProbeSeen>)| {
        let probe = probe.seen()?;
        let point_seen = cluster.vantage_points.get(point)?;
        let silent_since = match reports(point_seen)? {
            true => None,
            // Its agent's last sign of life, or this look where there was none; what was told once is not moved.
            false => Some(probe.silent_since.unwrap_or_else(|| last_sign(view, point_seen))),
        };
        (silent_since != probe.silent_since).then(|| {
            cluster_step(
                StepKind::MarkProbe.on(point),
                ClusterAction::MarkProbe {
                    namespace: probe.namespace.clone(),
                    name: probe.name.clone(),
                    silent_since,
                },
            )
        })
    };
    cluster.probes.iter().filter_map(told).collect()
}

/// An agent's clock may be ahead: nobody has been silent since a time that has not come.
fn last_sign(view: &View<'_>, point: &Fact<VantagePointSeen>) -> Timestamp {
    let renewed = point.seen().and_then(|point| point.renewed);
    whole_seconds(renewed.map_or(view.now, |at| at.min(view.now))).0
}

/// Whether the agent of a vantage point reports; `None`: that is not known.
fn reports(point: &Fact<VantagePointSeen>) -> Option<bool> {
    match point {
        Fact::Seen(point) => match point.alive {
            Fact::Seen(alive) => Some(alive),
            Fact::Absent => Some(false),
            Fact::Unknown(_) => None,
        },
        Fact::Absent => Some(false),
        Fact::Unknown(_) => None,
    }
}
