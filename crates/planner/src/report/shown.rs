//! What people see of paths while a question changes. For the lock only answers to the very question of now count; for people a path
//! that was found to pass a moment ago has not failed because something was added to the question, or another endpoint went away.

use sreg_api::probe::ProbeOutcome;
use sreg_domain::Fact;

use crate::facts::View;
use crate::plan::{PathAssessment, PathStanding, Plan};
use crate::state;

/// How many paths pass, as far as is known, of how many that clients need. Those of an endpoint that is lost are needed as well.
pub(super) fn verified(view: &View<'_>, plan: &Plan) -> (usize, usize) {
    let assessment = &plan.assessment;
    let passes = |path: &&PathAssessment| match &path.standing {
        PathStanding::Passing | PathStanding::Reported => true,
        PathStanding::Unknown(_) => was_found_to_pass(view, path),
        PathStanding::Failing(..) => false,
    };
    let passing = assessment.paths.iter().filter(passes).count();
    let lost = state::lost_endpoints(view, assessment).map(|lost| lost.networks.len() * lost.fqdns.len());
    (passing, assessment.paths.len() + lost.sum::<usize>())
}

/// The same name at the same addresses, in the last answer of an agent that reports.
fn was_found_to_pass(view: &View<'_>, path: &PathAssessment) -> bool {
    let cluster = &view.seen.cluster;
    let point = cluster.vantage_points.get(&path.vantage_point).and_then(Fact::seen);
    let reports = point.is_some_and(|point| point.alive == Fact::Seen(true));
    let probe = cluster.probes.get(&path.vantage_point).and_then(Fact::seen);
    let needed = view.desired.verification.consecutive_successes;
    let results = probe
        .and_then(|probe| probe.status.as_ref())
        .map(|status| &status.results);
    reports
        && results.into_iter().flatten().any(|result| {
            let same = result.fqdn.eq_ignore_ascii_case(&path.path.fqdn) && result.addresses == path.path.addresses;
            let often = u32::try_from(result.successes).is_ok_and(|successes| successes >= needed);
            same && often && result.outcome == ProbeOutcome::Succeeded
        })
}
