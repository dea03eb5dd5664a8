//! Vantage points that live and see nothing: each attempt of theirs ends before it says anything about the path, because their own way
//! out is broken (a SOCKS5 proxy that does not answer, a resolver that cannot be reached). Nothing is proven from there, however long
//! anybody waits, so that after a while the wait is one that a person has to end.
//!
//! | for so long | then |
//! | --- | --- |
//! | less than [`PATIENCE`] of proving | the wait for the proof says why |
//! | longer | stalled, until an agent can say something again |

use std::time::Duration;

use sreg_api::conditions::State;
use sreg_api::probe::{PathResult, ProbeOutcome};
use sreg_domain::desired::ClientNetwork;
use sreg_domain::duration;

use crate::evidence::{Evidence, asking};
use crate::plan::{Wait, WaitReason};
use crate::view::WholeView;

/// A proxy that restarts is back by then.
const PATIENCE: Duration = Duration::from_secs(5 * 60);

/// A client network of which nothing can be told, and what its agent says about that.
struct Blind<'a> {
    network: &'a ClientNetwork,
    namespace: &'a str,
    says: &'a str,
}

/// Why no path of some vantage point can be judged, to be said while the proof is waited for.
pub(crate) fn why(view: &WholeView<'_>, evidence: &Evidence) -> Option<String> {
    let Blind { network, says, .. } = all(view, evidence).next()?;
    Some(format!(
        "from VantagePoint {} no path can be judged: {says}",
        network.vantage_point
    ))
}

/// Waits for those that have seen nothing for too long.
pub(crate) fn waits(view: &WholeView<'_>, evidence: &Evidence) -> Vec<Wait> {
    if !lasts(view) {
        return Vec::new();
    }
    let wait = |blind: Blind<'_>| {
        let Blind {
            network,
            namespace,
            says,
        } = blind;
        let point = &network.vantage_point;
        Wait::new(
            WaitReason::VantagePointBlindStalled,
            format!(
                "for {} and more no path of client network {} can be judged from VantagePoint {point}: {says}; repair that way out (its proxy and resolver: kubectl get vantagepoint {point} -o yaml), what its agent sees: kubectl get connectivityprobes -n {namespace} -o yaml",
                duration::show(PATIENCE),
                network.name
            ),
        )
    };
    all(view, evidence).map(wait).collect()
}

/// Proving has gone on for so long, or has been called stalled for this before.
fn lasts(view: &WholeView<'_>) -> bool {
    let told = view.last().waited_for(WaitReason::VantagePointBlindStalled);
    let long = |(state, since): (Option<State>, Duration)| state == Some(State::Proving) && since >= PATIENCE;
    told || view.last_transition().is_some_and(long)
}

fn all<'a>(view: &'a WholeView<'_>, evidence: &'a Evidence) -> impl Iterator<Item = Blind<'a>> {
    view.spec.client_networks.iter().filter_map(move |network| {
        let probe = asking(view, &network.vantage_point, &evidence.probes)?;
        let status = probe.status.as_ref()?;
        let answers = status.observed_generation == Some(probe.generation) && evidence.hears(&network.vantage_point);
        let first = status.results.first().filter(|_| answers)?;
        status.results.iter().all(sees_nothing).then_some(Blind {
            network,
            namespace: &probe.namespace,
            says: &first.message,
        })
    })
}

fn sees_nothing(result: &PathResult) -> bool {
    result.outcome == ProbeOutcome::Unknown && !result.message.is_empty()
}
