//! Proof: which probes must exist, whether the open round still counts, how each required path stands.
//!
//! Evidence counts only from a probe whose spec is exactly what we want, whose status answers that very generation and echoes
//! round number and subject, from an agent that is alive, at a vantage point that stands where the spec says. What a probe asks
//! names the generation of its vantage point: whoever moves one voids what was proven from it. Its age is the age
//! of the round in our own memory; agents' times are never judged.

use std::collections::{BTreeMap, BTreeSet};

use sreg_api::names::LABEL_REGISTRY_UID;
use sreg_api::probe::{ConnectivityProbeSpec, Hop, PathResult, ProbeOutcome, SecureRegistryReference};
use sreg_api::vantage_point::VantageNetwork;
use sreg_domain::action::ProbeWrite;
use sreg_domain::desired::{ClientNetwork, NetworkPlace};
use sreg_domain::preimage::{DigestKind, DigestLine, Preimage};
use sreg_domain::seen::{ProbeSeen, Round, VantagePointSeen};
use sreg_domain::{ClusterAction, Digest, Fact, StepKind, naming};

use crate::contribution::{Contribution, cluster_step};
use crate::dns_servers;
use crate::paths::{Paths, Required};
use crate::plan::{PathAssessment, PathStanding, Step, Wait, WaitReason};
use crate::view::{View, WholeView, look_up, not_known};

/// Largest round number that JSON numbers carry safely.
const LARGEST_ROUND: i64 = 9_007_199_254_740_991;

/// What one path's probe says now.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Look {
    /// Nothing that counts, and why.
    Nothing(String),
    /// The last attempt passed; this often in a row in the probe's round.
    Passes(u32),
    /// The last attempt failed at this hop; this often in a row.
    Fails(Hop, String, u32),
}

/// Everything about proof.
pub(crate) struct Evidence {
    /// Wanted probes by vantage point, with the round that they carry now.
    pub(crate) probes: BTreeMap<String, ProbeWrite>,
    /// Why vantage points are of no use: missing, misplaced or silent.
    pub(crate) waits: Vec<Wait>,
    /// Vantage points that stand where they should and report.
    fit: BTreeSet<String>,
    /// One look per required path, in the same order.
    pub(crate) looks: Vec<Look>,
    /// The open round, if it counts.
    pub(crate) round: Option<Round>,
    /// Digest of complete, fresh evidence.
    pub(crate) complete: Option<Digest>,
}

/// Gathers what probes say about the required paths.
pub(crate) fn gather(view: &WholeView<'_>, paths: &Paths) -> Evidence {
    let mut probes = BTreeMap::new();
    let mut waits = Vec::new();
    let mut fit = BTreeSet::new();
    for network in &view.spec.client_networks {
        match vantage_point(view, network) {
            Ok(point) => {
                if let Some(subject) = &paths.subject {
                    let write = wanted_probe(view, network, point, subject, paths);
                    probes.insert(network.vantage_point.clone(), write);
                }
                match silence(network, point) {
                    Some(wait) => waits.push(wait),
                    None => drop(fit.insert(network.vantage_point.as_str())),
                }
            }
            Err(wait) => waits.push(wait),
        }
    }
    let looks: Vec<Look> = paths
        .all
        .iter()
        .map(|required| look(view, required, &probes, &fit))
        .collect();
    let round = valid_round(view, paths, &probes);
    let complete = round
        .as_ref()
        .and_then(|round| complete(view, paths, &looks, round, &waits));
    let fit = fit.into_iter().map(str::to_owned).collect();
    Evidence {
        probes,
        waits,
        fit,
        looks,
        round,
        complete,
    }
}

fn vantage_point<'a>(view: &'a WholeView<'_>, network: &ClientNetwork) -> Result<&'a VantagePointSeen, Wait> {
    let name = &network.vantage_point;
    let missing = |message: String| Wait::new(WaitReason::VantagePointMissing, message);
    let point = match view.seen.cluster.vantage_points.get(name) {
        Some(Fact::Seen(point)) => point,
        Some(Fact::Absent) => {
            return Err(missing(format!(
                "VantagePoint {name} of client network {} does not exist: create it (kubectl explain vantagepoint.spec) and deploy its agent, or name one that exists under spec.clientNetworks[].vantagePoint",
                network.name
            )));
        }
        Some(unknown @ Fact::Unknown(_)) => return Err(not_known(&format!("VantagePoint {name}"), unknown)),
        None => {
            return Err(not_known(
                &format!("VantagePoint {name}"),
                &Fact::<()>::not_read("nobody looked at it yet"),
            ));
        }
    };
    let stands_there = match &network.place {
        NetworkPlace::VirtualNetwork(id) => {
            point.network == VantageNetwork::VirtualNetwork && point.virtual_network.as_ref() == Some(id)
        }
        NetworkPlace::OnPremises(_) => point.network == VantageNetwork::OnPremises,
    };
    if stands_there {
        return Ok(point);
    }
    Err(missing(format!(
        "VantagePoint {name} does not stand in client network {}: name one that does under spec.clientNetworks[].vantagePoint, or correct its spec.virtualNetworkResourceId: kubectl edit vantagepoint {name}",
        network.name
    )))
}

fn silence(network: &ClientNetwork, point: &VantagePointSeen) -> Option<Wait> {
    match &point.alive {
        Fact::Seen(true) => None,
        Fact::Seen(false) | Fact::Absent => Some(Wait::new(
            WaitReason::AgentSilent,
            format!(
                "the agent of VantagePoint {} does not report: look at its pods: kubectl get pods -n {namespace}; since when, and what it said last: kubectl get connectivityprobes -n {namespace}",
                network.vantage_point,
                namespace = point.namespace
            ),
        )),
        unknown @ Fact::Unknown(_) => Some(not_known(
            &format!("the Lease of VantagePoint {}", network.vantage_point),
            unknown,
        )),
    }
}

fn wanted_probe(
    view: &WholeView<'_>,
    network: &ClientNetwork,
    point: &VantagePointSeen,
    subject: &Digest,
    paths: &Paths,
) -> ProbeWrite {
    let object = &view.desired.object;
    let mut spec = ConnectivityProbeSpec {
        secure_registry: SecureRegistryReference {
            namespace: object.namespace.clone(),
            name: object.name.clone(),
            uid: object.uid.clone(),
        },
        vantage_point: network.vantage_point.clone(),
        vantage_point_uid: point.uid.clone(),
        vantage_point_generation: point.generation,
        service_account_name: point.service_account.clone(),
        subject: subject.to_string(),
        round: 0,
        interval_milliseconds: i64::try_from(view.spec.verification.interval.as_millis())
            .unwrap_or(i64::MAX)
            .clamp(100, 86_400_000),
        consecutive_successes: i32::try_from(view.spec.verification.consecutive_successes)
            .unwrap_or(10)
            .clamp(1, 10),
        dns_servers: dns_servers::of(view.seen, network).unwrap_or_default(),
        paths: paths
            .all
            .iter()
            .filter(|r| r.network == network.name)
            .map(|r| r.path.clone())
            .collect(),
    };
    // The round stays until what is being proven changes: taking it out would only make agents start over.
    let seen = view
        .seen
        .cluster
        .probes
        .get(&network.vantage_point)
        .and_then(Fact::seen);
    // A network that cannot be read this time voids nothing: before the lock the gate of DNS servers waits for it.
    if let (Some(probe), None) = (seen, dns_servers::of(view.seen, network)) {
        spec.dns_servers.clone_from(&probe.spec.dns_servers);
    }
    if let Some(probe) = seen
        && (ConnectivityProbeSpec {
            round: 0,
            ..probe.spec.clone()
        }) == spec
    {
        spec.round = probe.spec.round;
    }
    ProbeWrite {
        namespace: point.namespace.clone(),
        name: naming::probe_name(&object.uid, &network.vantage_point),
        spec,
    }
}

/// The probe, if it asks exactly what we want.
pub(crate) fn asking<'a>(
    view: &'a WholeView<'_>,
    vantage_point: &str,
    probes: &BTreeMap<String, ProbeWrite>,
) -> Option<&'a ProbeSeen> {
    let wanted = probes.get(vantage_point)?;
    let probe = view.seen.cluster.probes.get(vantage_point)?.seen()?;
    (probe.spec == wanted.spec && probe.namespace == wanted.namespace && probe.name == wanted.name).then_some(probe)
}

fn look(
    view: &WholeView<'_>,
    required: &Required,
    probes: &BTreeMap<String, ProbeWrite>,
    fit: &BTreeSet<&str>,
) -> Look {
    let point = &required.vantage_point;
    let nothing = |why: &str| Look::Nothing(why.to_owned());
    if !fit.contains(point.as_str()) {
        return nothing("its vantage point does not report");
    }
    let Some(probe) = asking(view, point, probes) else {
        return nothing("not asked yet");
    };
    let Some(status) = &probe.status else {
        return nothing("not answered yet");
    };
    let answers = status.observed_generation == Some(probe.generation)
        && status.round == probe.spec.round
        && status.subject.eq_ignore_ascii_case(&probe.spec.subject);
    if !answers {
        return nothing("not answered yet");
    }
    let mut results = status
        .results
        .iter()
        .filter(|r| r.fqdn.eq_ignore_ascii_case(&required.path.fqdn));
    match (results.next(), results.next()) {
        (Some(result), None) => judge(required, result, view.all_closed()),
        (Some(_), Some(_)) => nothing("answered twice"),
        (None, _) => nothing("not answered yet"),
    }
}

/// Before the lock every DNS server has to answer rightly: what clients of one that is silent get to hear is not known. After it a
/// silent one cuts nobody off, because clients ask the next.
fn judge(required: &Required, result: &PathResult, locked: bool) -> Look {
    let count = |n: i32| u32::try_from(n).unwrap_or(0);
    match (result.outcome, result.hop) {
        (ProbeOutcome::Succeeded, _) if !locked && !result.silent_dns_servers.is_empty() => Look::Fails(
            Hop::Dns,
            format!(
                "DNS server {} of that network gives no usable answer, so that what its clients get is not known: repair it, or take it out of the network's DNS servers",
                result.silent_dns_servers.join(", ")
            ),
            0,
        ),
        (ProbeOutcome::Succeeded, _) => {
            let mut answered = result.addresses.clone();
            answered.sort();
            answered.dedup();
            if answered == required.path.addresses {
                Look::Passes(count(result.successes))
            } else {
                Look::Nothing("claims success with other addresses than the endpoint's".into())
            }
        }
        (ProbeOutcome::Failed, Some(hop)) => Look::Fails(hop, result.message.clone(), count(result.failures)),
        (ProbeOutcome::Failed, None) => Look::Nothing("failed at no hop that it names".into()),
        (ProbeOutcome::Unknown, _) => Look::Nothing(if result.message.is_empty() {
            "nothing can be said yet".into()
        } else {
            result.message.clone()
        }),
    }
}

/// The round in our memory, if it proves what must be proven, is fresh, and every probe carries it.
fn valid_round(view: &WholeView<'_>, paths: &Paths, probes: &BTreeMap<String, ProbeWrite>) -> Option<Round> {
    let round = view.seen.memory.round.as_ref()?;
    let subject = paths.subject.as_ref()?;
    let carried = view.spec.client_networks.iter().all(|network| {
        asking(view, &network.vantage_point, probes).is_some_and(|probe| probe.spec.round == round.number)
    });
    let counts =
        round.number > 0 && round.subject == *subject && round.age <= view.spec.verification.max_age && carried;
    counts.then(|| round.clone())
}

fn complete(view: &WholeView<'_>, paths: &Paths, looks: &[Look], round: &Round, waits: &[Wait]) -> Option<Digest> {
    let needed = view.spec.verification.consecutive_successes;
    let proven = looks
        .iter()
        .all(|look| matches!(look, Look::Passes(times) if *times >= needed));
    if paths.all.is_empty() || !paths.gaps.is_empty() || !waits.is_empty() || !proven {
        return None;
    }
    let mut preimage = Preimage::of(DigestKind::Evidence);
    preimage.add(DigestLine::Round(round.number));
    preimage.add(DigestLine::Subject(&round.subject));
    let proven = paths.all.iter();
    preimage.extend(proven.map(|r| DigestLine::Proven {
        network: &r.network,
        vantage_point: &r.vantage_point,
        fqdn: &r.path.fqdn,
        addresses: &r.path.addresses,
    }));
    Some(preimage.digest())
}

/// The step that ends what a vantage point is asked.
pub(crate) fn deletion(point: &str, probe: &ProbeSeen) -> Step {
    cluster_step(
        StepKind::DeleteProbe.on(point),
        ClusterAction::DeleteProbe {
            namespace: probe.namespace.clone(),
            name: probe.name.clone(),
        },
    )
}

/// Ends the questions to vantage points that no grant lets the namespace use.
pub(crate) fn ask_no_more(view: &View<'_>) -> Vec<Step> {
    let probes = view.seen.cluster.probes.iter();
    let seen = probes.filter_map(|(point, fact)| Some((point, fact.seen()?)));
    let ungranted = seen.filter(|(_, probe)| !view.desired.grants.allow_vantage_point(&probe.spec.vantage_point));
    ungranted.map(|(point, probe)| deletion(point, probe)).collect()
}

impl Evidence {
    /// Whether the agent of a vantage point stands where it should and reports.
    pub(crate) fn hears(&self, vantage_point: &str) -> bool {
        self.fit.contains(vantage_point)
    }

    /// Whether the open round can still conclude before its evidence is too old.
    pub(crate) fn can_conclude(&self, view: &WholeView<'_>) -> bool {
        let Some(round) = &self.round else { return false };
        let verification = &view.spec.verification;
        let missing = |look: &Look| match look {
            Look::Passes(times) => verification.consecutive_successes.saturating_sub(*times),
            Look::Nothing(_) | Look::Fails(..) => verification.consecutive_successes,
        };
        let most = self.looks.iter().map(missing).max().unwrap_or(0);
        // The first attempt of the missing ones needs no pause before it.
        let needed = verification.interval.saturating_mul(most.saturating_sub(1));
        round.age.saturating_add(needed) <= verification.max_age
    }

    /// The step that opens a round with all probes.
    pub(crate) fn open_round(&self, view: &WholeView<'_>, subject: &Digest) -> Step {
        let number = (view.seen.nonce & LARGEST_ROUND).max(1);
        let probes = self.probes.values().cloned().map(|mut write| {
            write.spec.round = number;
            write
        });
        let action = ClusterAction::OpenRound {
            number,
            subject: subject.clone(),
            probes: probes.collect(),
        };
        cluster_step(StepKind::OpenRound, action)
    }

    /// Probes outside rounds: those that do not ask what they should, and those that nobody wants any more. Nothing new is asked
    /// while names are still ours to complete: a question asked too early leaves the public answer in the caches of forwarders
    /// for as long as a public CNAME lives, up to an hour (azure.md §3.2).
    pub(crate) fn plan_probes(&self, view: &WholeView<'_>, dns_ready: Option<bool>) -> Contribution {
        let mut draft = Contribution::default();
        let too_early = view.names_are_ours() && dns_ready != Some(true) && !view.all_closed();
        let unread = Fact::not_read("nobody looked at the probe yet");
        for (point, wanted) in &self.probes {
            match look_up(&view.seen.cluster.probes, point, &unread) {
                Fact::Seen(_) if asking(view, point, &self.probes).is_some() => {}
                Fact::Seen(_) | Fact::Absent if too_early => {}
                Fact::Seen(_) | Fact::Absent => {
                    draft.probes.push(cluster_step(
                        StepKind::ApplyProbe.on(point),
                        ClusterAction::ApplyProbe(wanted.clone()),
                    ));
                }
                unknown => draft.wait(not_known(&format!("the probe of VantagePoint {point}"), unknown)),
            }
        }
        for (point, probe) in &view.seen.cluster.probes {
            let named = view.spec.client_networks.iter().any(|n| n.vantage_point == *point);
            if let (false, Fact::Seen(probe)) = (named, probe) {
                draft.probes.push(deletion(point, probe));
            }
        }
        draft
    }

    /// Every required path and how it stands. Before the lock only proof in the open round counts; after it, that it goes on
    /// passing. Fewer failures in a row than a round would count are weather.
    pub(crate) fn assess(&self, view: &WholeView<'_>, paths: &Paths) -> Vec<PathAssessment> {
        let needed = view.spec.verification.consecutive_successes;
        let locked = view.all_closed();
        let standing = |look: &Look| match look {
            Look::Nothing(why) => PathStanding::Unknown(why.clone()),
            Look::Passes(times) if locked || (self.round.is_some() && *times >= needed) => PathStanding::Passing,
            Look::Passes(times) if *times >= needed => PathStanding::Reported,
            Look::Passes(_) => PathStanding::Unknown("passes, not often enough in a row yet".into()),
            Look::Fails(_, _, times) if locked && (1..needed).contains(times) => PathStanding::Passing,
            Look::Fails(hop, message, _) => PathStanding::Failing(*hop, message.clone()),
        };
        let line = |(required, look): (&Required, &Look)| PathAssessment {
            network: required.network.clone(),
            vantage_point: required.vantage_point.clone(),
            endpoint: required.endpoint.clone(),
            path: required.path.clone(),
            standing: standing(look),
        };
        paths.all.iter().zip(&self.looks).map(line).collect()
    }
}

/// Where a person sees all that the agents saw.
pub(crate) fn look_closer(view: &WholeView<'_>) -> String {
    format!(
        "kubectl get connectivityprobes -A -l {LABEL_REGISTRY_UID}={} -o yaml",
        view.desired.object.uid
    )
}

/// Names the first failing path of a list, and how many more there are.
pub(crate) fn first_failure(paths: &[PathAssessment]) -> Option<String> {
    let mut failing = paths.iter().filter_map(|p| match &p.standing {
        PathStanding::Failing(hop, message) => {
            Some(format!("{} cannot reach {}: {hop}: {message}", p.network, p.path.fqdn))
        }
        PathStanding::Passing | PathStanding::Reported | PathStanding::Unknown(_) => None,
    });
    let first = failing.next()?;
    let more = failing.count();
    Some(if more == 0 {
        first
    } else {
        format!("{first} (and {more} more)")
    })
}
