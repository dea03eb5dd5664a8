//! Whom a locked registry keeps out, or may keep out, and the way out. Whatever else the message of a state explains, this is what
//! somebody on call looks for first, so it stands at its beginning.

use std::collections::BTreeSet;

use sreg_api::conditions::State;
use sreg_api::probe::{PathResult, ProbeOutcome};

use super::{ReportedState, shown};
use crate::break_glass::{self, BreakGlassState};
use crate::never_locked;
use crate::plan::{PathStanding, Plan};
use crate::state;
use crate::view::View;

/// Hosts in a message; the probes and `status.endpoints` have all.
const MOST_HOSTS: usize = 3;

/// Clients of these networks, and what they miss.
#[derive(Default)]
struct Clients<'a> {
    networks: BTreeSet<&'a str>,
    hosts: BTreeSet<&'a str>,
}

impl<'a> Clients<'a> {
    fn miss(&mut self, network: &'a str, host: &'a str) {
        self.networks.insert(network);
        self.hosts.insert(host);
    }

    /// In the order of the spec.
    fn networks(&self, view: &View<'a>) -> String {
        let all = view.desired.client_networks().iter().map(|n| n.name.as_str());
        let here: Vec<&str> = all.filter(|n| self.networks.contains(n)).collect();
        here.join(", ")
    }

    fn hosts(&self) -> String {
        let named: Vec<&str> = self.hosts.iter().take(MOST_HOSTS).copied().collect();
        match self.hosts.len().saturating_sub(MOST_HOSTS) {
            0 => named.join(", "),
            more => format!("{} and {more} more", named.join(", ")),
        }
    }
}

/// The verdict with whom it concerns, where public access is closed and clients are or may be cut off.
pub(super) fn told(view: &View<'_>, plan: &Plan, verdict: ReportedState) -> ReportedState {
    let holds = view.claim_is_ours() && state::is_shut_off(view) && !view.seen.object.deleting;
    if !holds || is_settled(verdict.state) {
        return verdict;
    }
    let (lost, doubtful) = clients(view, plan);
    let who = match (lost.networks.is_empty(), doubtful.networks.is_empty()) {
        (true, true) => return verdict,
        (true, false) => format!(
            "nobody can tell whether clients of {} reach {}",
            doubtful.networks(view),
            doubtful.hosts()
        ),
        (false, _) => format!("clients of {} cannot reach {}", lost.networks(view), lost.hosts()),
    };
    let way_out = match break_glass::state(view) {
        BreakGlassState::Active { name, .. } => format!("BreakGlass {name} is in force"),
        BreakGlassState::None | BreakGlassState::NotKnown | BreakGlassState::UsedUp { .. } => {
            what_a_break_glass_would_do(view)
        }
    };
    ReportedState {
        state: verdict.state,
        message: format!("closed to the public, and {who}; {way_out}; {}", verdict.message),
    }
}

fn what_a_break_glass_would_do(view: &View<'_>) -> String {
    if !view.desired.may_be_opened() {
        format!(
            "a BreakGlass has no effect: no RegistryGrant lets namespace {} open the registry (operations: [Open])",
            view.desired.object.namespace
        )
    } else if never_locked::needs_approval(view) {
        format!(
            "a BreakGlass opens public access only with a ChangeApproval with change: Opening and digest {}, because this object did not close it",
            never_locked::digest(view)
        )
    } else {
        "a BreakGlass opens public access until that is repaired (docs/break-glass.md has the command)".to_owned()
    }
}

/// States in which nobody is cut off, or in which being closed is over.
fn is_settled(state: State) -> bool {
    matches!(
        state,
        State::Locked | State::Open | State::Observed | State::BreakGlass | State::Deleting
    )
}

/// Whom something is known to keep out, and those of whom nobody knows.
fn clients<'a>(view: &'a View<'_>, plan: &'a Plan) -> (Clients<'a>, Clients<'a>) {
    let (mut lost, mut doubtful) = (Clients::default(), Clients::default());
    for path in &plan.assessment.paths {
        match &path.standing {
            PathStanding::Failing(..) => lost.miss(&path.network, &path.path.fqdn),
            PathStanding::Unknown(_) if shown::was_found_to_pass(view, path) => {}
            PathStanding::Unknown(_) => doubtful.miss(&path.network, &path.path.fqdn),
            PathStanding::Passing | PathStanding::Reported => {}
        }
    }
    for gone in state::lost_endpoints(view, &plan.assessment) {
        for network in &gone.networks {
            gone.fqdns.iter().for_each(|fqdn| lost.miss(network, fqdn));
        }
    }
    for (point, result) in reported(view) {
        let networks = view.desired.client_networks().iter();
        for network in networks.filter(|n| n.vantage_point == point) {
            lost.miss(&network.name, &result.fqdn);
        }
    }
    // Which paths there are may not be known just now: what carried names before is in doubt, unless an agent says that it passes.
    if !plan.assessment.paths_known {
        for network in view.desired.client_networks() {
            let lines = view.seen.object.status.endpoints.iter();
            let here = lines
                .filter(|line| line.name == network.endpoint)
                .flat_map(|line| &line.fqdns);
            let judged = |fqdn: &str| {
                let mut paths = plan.assessment.paths.iter();
                let listed = paths.any(|p| p.network == network.name && p.path.fqdn == fqdn);
                listed || shown::passing(view, &network.vantage_point, fqdn).is_some()
            };
            here.filter(|fqdn| !judged(fqdn))
                .for_each(|fqdn| doubtful.miss(&network.name, fqdn));
        }
    }
    (lost, doubtful)
}

/// Losses that agents report, by vantage point. Which paths are required may not be known just now, where something cannot be read;
/// what agents found on those that they were asked for is.
pub(super) fn reported<'a>(view: &'a View<'_>) -> impl Iterator<Item = (&'a str, &'a PathResult)> {
    let needed = view.successes_needed();
    let probes = view.seen.cluster.probes.iter();
    let answered = probes.filter_map(|(point, probe)| {
        let probe = probe.seen()?;
        let status = probe.status.as_ref()?;
        (status.observed_generation == Some(probe.generation)).then_some((point.as_str(), status))
    });
    let lost = move |result: &&PathResult| {
        result.outcome == ProbeOutcome::Failed
            && u32::try_from(result.failures).is_ok_and(|failures| failures >= needed)
    };
    answered.flat_map(move |(point, status)| status.results.iter().filter(lost).map(move |r| (point, r)))
}
