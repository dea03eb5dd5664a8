//! What people see of paths while a question changes. For the lock only answers to the very question of now count; for people a path
//! that was found to pass a moment ago has not failed because something was added to the question, or another endpoint went away.

use sreg_api::probe::{PathResult, ProbeOutcome};
use sreg_domain::Fact;

use crate::plan::{PathAssessment, PathStanding, Plan};
use crate::state;
use crate::view::View;

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
pub(super) fn was_found_to_pass(view: &View<'_>, path: &PathAssessment) -> bool {
    let reported = passing(view, &path.vantage_point, &path.path.fqdn);
    reported.is_some_and(|result| result.addresses == path.path.addresses)
}

/// What an agent that reports said last of a name, if that passes often enough in a row.
pub(super) fn passing<'a>(view: &'a View<'_>, vantage_point: &str, fqdn: &str) -> Option<&'a PathResult> {
    let cluster = &view.seen.cluster;
    let point = cluster.vantage_points.get(vantage_point).and_then(Fact::seen);
    point.filter(|point| point.alive == Fact::Seen(true))?;
    let needed = view.successes_needed();
    let status = cluster.probes.get(vantage_point)?.seen()?.status.as_ref()?;
    status.results.iter().find(|result| {
        let often = u32::try_from(result.successes).is_ok_and(|successes| successes >= needed);
        result.fqdn.eq_ignore_ascii_case(fqdn) && often && result.outcome == ProbeOutcome::Succeeded
    })
}
