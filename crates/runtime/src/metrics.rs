//! Metrics in the Prometheus text format. Passes, steps and leadership are counted as they happen; what is known of each
//! object is kept as the value that its last report gave and written out at scrape time, so that a series disappears
//! together with what it speaks of. Label values come from closed sets, except namespace and name of an object.
//!
//! | name | type | labels | meaning |
//! | --- | --- | --- | --- |
//! | `secureregistry_passes_total` | counter | `controller`, `result` | passes over objects, by how they ended |
//! | `secureregistry_pass_duration_seconds` | histogram | `controller` | time that a pass took |
//! | `secureregistry_steps_total` | counter | `action`, `result` | steps carried out, by what they do and what came of it |
//! | `secureregistry_probe_wakes_damped_total` | counter | | passes that agents asked for and that were put off, because they write faster than they are asked |
//! | `secureregistry_leader` | gauge | | 1 while this process leads, else 0 |
//! | `secureregistry_objects` | gauge | | objects that this process has reported on |
//! | `secureregistry_state` | gauge | `namespace`, `name`, `state` | 1 for the state that the object is in; other states have no series |
//! | `secureregistry_public_access_open` | gauge | `namespace`, `name`, `target` | 1 while the target is open to the public, 0 while closed; absent while not known |
//! | `secureregistry_locked` | gauge | `namespace`, `name` | 1 while registry, storage and ACR are all closed, 0 while one is open; absent while not known |
//! | `secureregistry_break_glass` | gauge | `namespace`, `name` | 1 while a break-glass is in force |
//! | `secureregistry_break_glass_uses_total` | counter | `namespace`, `name` | break-glasses that began to hold the object's registry open |
//! | `secureregistry_break_glass_relock_pending` | gauge | `namespace`, `name` | 1 while a break-glass is over and the registry is not locked again |
//! | `secureregistry_last_look_timestamp_seconds` | gauge | `namespace`, `name` | when the object was last looked at and reported on, in Unix time |
//! | `secureregistry_waiting` | gauge | `namespace`, `name`, `reason` | 1 for each reason that the object waits for |
//!
//! Names and labels are an interface: they may be added to, not changed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use sreg_planner::Gauges;
use strum::{EnumIter, IntoEnumIterator, IntoStaticStr};

pub use crate::memory::ObjectKey;

/// How a pass over one object ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, EnumIter, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum PassResult {
    /// Nothing to do and nothing to wait for.
    Settled,
    /// Steps were carried out.
    Progressed,
    /// Nothing to do now: the object waits for something.
    Waiting,
    /// The object cannot go on without a change of spec or rights.
    Stalled,
    /// The object breaks a rule or does not parse.
    Invalid,
    /// The object is gone.
    Gone,
    /// A step or the report failed.
    Failed,
    /// The pass took longer than it may and was given up.
    DeadlineExceeded,
    /// The pass panicked.
    Panicked,
    /// Leadership was not held for long enough to write.
    NotLeader,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PassLabels {
    controller: &'static str,
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ControllerLabel {
    controller: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StepLabels {
    action: &'static str,
    result: &'static str,
}

/// Everything that is counted. Shared by all parts of the process; every method returns at once.
pub struct Metrics {
    registry: Registry,
    passes: Family<PassLabels, Counter>,
    pass_duration: Family<ControllerLabel, Histogram, fn() -> Histogram>,
    steps: Family<StepLabels, Counter>,
    probe_wakes_damped: Counter,
    leader: Gauge,
    objects: Arc<Objects>,
}

/// What controllers call themselves.
const CONTROLLERS: [&str; 4] = ["secureregistries", "breakglasses", "changeapprovals", "registrygrants"];

/// A fast pass reads from caches only; a slow one carries out a wave of steps.
const PASS_SECONDS: [f64; 10] = [0.01, 0.05, 0.1, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 180.0];

impl Default for Metrics {
    fn default() -> Self {
        Metrics::new()
    }
}

impl Metrics {
    /// All at zero.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("secureregistry");
        let passes = Family::<PassLabels, Counter>::default();
        let pass_duration = Family::<ControllerLabel, Histogram, fn() -> Histogram>::new_with_constructor(|| {
            Histogram::new(PASS_SECONDS)
        });
        let steps = Family::<StepLabels, Counter>::default();
        let leader = Gauge::default();
        let objects = Arc::new(Objects::default());
        registry.register("passes", "Passes over objects, by how they ended", passes.clone());
        registry.register("pass_duration_seconds", "Time that a pass took", pass_duration.clone());
        registry.register(
            "steps",
            "Steps carried out, by what they do and what came of it",
            steps.clone(),
        );
        let probe_wakes_damped = Counter::default();
        registry.register(
            "probe_wakes_damped",
            "Passes that agents asked for and that were put off, because they write faster than they are asked",
            probe_wakes_damped.clone(),
        );
        registry.register(
            "leader",
            "Whether this process leads (1) or stands by (0)",
            leader.clone(),
        );
        registry.register_collector(Box::new(Arc::clone(&objects)));
        // A rate can only be taken of a series that was there before its first event.
        for controller in CONTROLLERS {
            for result in PassResult::iter().map(Into::into) {
                drop(passes.get_or_create(&PassLabels { controller, result }));
            }
        }
        Metrics {
            registry,
            passes,
            pass_duration,
            steps,
            probe_wakes_damped,
            leader,
            objects,
        }
    }

    /// A pass of this controller ended.
    pub fn pass(&self, controller: &'static str, result: PassResult, took: Duration) {
        let result = result.into();
        self.passes.get_or_create(&PassLabels { controller, result }).inc();
        let duration = self.pass_duration.get_or_create(&ControllerLabel { controller });
        duration.observe(took.as_secs_f64());
    }

    /// What is known of an object; replaces what was said of it before.
    pub fn object(&self, key: &ObjectKey, gauges: &Gauges, at: Timestamp) {
        let begun = u64::try_from(gauges.break_glass_uses).unwrap_or(u64::MAX);
        let mut objects = self.objects.lock();
        let uses = objects.get(key).map_or(0, |known| known.uses).saturating_add(begun);
        let gauges = gauges.clone();
        let looked = at.as_second();
        objects.insert(key.clone(), Known { gauges, uses, looked });
    }

    /// An object is gone: nothing is said of it any more.
    pub fn forget(&self, key: &ObjectKey) {
        self.objects.lock().remove(key);
    }

    /// A step was carried out. Both labels come from closed sets: the name of the action, and what came of it.
    pub fn step(&self, action: &'static str, result: &'static str) {
        self.steps.get_or_create(&StepLabels { action, result }).inc();
    }

    /// A pass that an agent's answer asked for was put off.
    pub fn probe_wake_damped(&self) {
        self.probe_wakes_damped.inc();
    }

    /// Whether this process leads.
    pub fn leader(&self, leads: bool) {
        self.leader.set(i64::from(leads));
    }

    /// Everything in the OpenMetrics text format.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail; if an encoder did, a scrape without its last lines says so by lacking `# EOF`.
        text::encode(&mut text, &self.registry).ok();
        text
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

/// The latest report of each object, turned into series when asked.
#[derive(Debug, Default)]
struct Objects {
    latest: Mutex<BTreeMap<ObjectKey, Known>>,
}

/// What is known of one object.
#[derive(Debug)]
struct Known {
    gauges: Gauges,
    /// Uses of break-glasses that this process saw begin.
    uses: u64,
    /// When it was last reported on, Unix time.
    looked: i64,
}

/// Name and value of the label that tells the series of one object apart.
type Extra = Option<(&'static str, &'static str)>;

impl Objects {
    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<ObjectKey, Known>> {
        // Each write is one insertion or removal: a panic elsewhere leaves nothing half-done.
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Collector for Objects {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let latest = self.lock();
        let count = ConstGauge::new(i64::try_from(latest.len()).unwrap_or(i64::MAX));
        count.encode(encoder.encode_descriptor(
            "objects",
            "Objects that this process has reported on",
            None,
            MetricType::Gauge,
        )?)?;
        family(
            &mut encoder,
            &latest,
            "state",
            "1 for the state that the object is in",
            |gauges| vec![(Some(("state", gauges.state.into())), true)],
        )?;
        family(
            &mut encoder,
            &latest,
            "public_access_open",
            "1 while the target is open to the public",
            |gauges| {
                let target =
                    |(target, open): (&sreg_domain::TargetKind, &bool)| (Some(("target", (*target).into())), *open);
                gauges.open_targets.iter().map(target).collect()
            },
        )?;
        family(
            &mut encoder,
            &latest,
            "locked",
            "1 while registry, storage and ACR are all closed",
            |gauges| gauges.locked.map(|locked| (None, locked)).into_iter().collect(),
        )?;
        family(
            &mut encoder,
            &latest,
            "break_glass",
            "1 while a break-glass is in force",
            |gauges| vec![(None, gauges.break_glass)],
        )?;
        family(
            &mut encoder,
            &latest,
            "break_glass_relock_pending",
            "1 while a break-glass is over and the registry is not locked again",
            |gauges| vec![(None, gauges.relock_pending)],
        )?;
        uses(&mut encoder, &latest)?;
        looks(&mut encoder, &latest)?;
        family(
            &mut encoder,
            &latest,
            "waiting",
            "1 for each reason that the object waits for",
            |gauges| {
                // Two waits of one reason are one series: a scrape with the same series twice is refused as a whole.
                let reasons: BTreeSet<&'static str> = gauges.waits.iter().map(|&reason| reason.into()).collect();
                reasons
                    .into_iter()
                    .map(|reason| (Some(("reason", reason)), true))
                    .collect()
            },
        )
    }
}

fn uses(encoder: &mut DescriptorEncoder, latest: &BTreeMap<ObjectKey, Known>) -> fmt::Result {
    let help = "Break-glasses that began to hold the object's registry open";
    let mut metric = encoder.encode_descriptor("break_glass_uses", help, None, MetricType::Counter)?;
    for (key, known) in latest {
        let labels = [("namespace", key.namespace.as_str()), ("name", key.name.as_str())];
        metric
            .encode_family(&labels)?
            .encode_counter::<NoLabelSet, _, u64>(&known.uses, None)?;
    }
    Ok(())
}

fn looks(encoder: &mut DescriptorEncoder, latest: &BTreeMap<ObjectKey, Known>) -> fmt::Result {
    let help = "When the object was last looked at and reported on";
    let mut metric = encoder.encode_descriptor("last_look_timestamp_seconds", help, None, MetricType::Gauge)?;
    for (key, known) in latest {
        let labels = [("namespace", key.namespace.as_str()), ("name", key.name.as_str())];
        metric.encode_family(&labels)?.encode_gauge(&known.looked)?;
    }
    Ok(())
}

/// One metric over all objects; `series` gives the series of one of them.
fn family(
    encoder: &mut DescriptorEncoder,
    latest: &BTreeMap<ObjectKey, Known>,
    name: &str,
    help: &str,
    series: impl Fn(&Gauges) -> Vec<(Extra, bool)>,
) -> fmt::Result {
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (key, known) in latest {
        for (extra, value) in series(&known.gauges) {
            let labels: Vec<(&str, &str)> = [("namespace", key.namespace.as_str()), ("name", key.name.as_str())]
                .into_iter()
                .chain(extra)
                .collect();
            metric.encode_family(&labels)?.encode_gauge(&i64::from(value))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use sreg_api::conditions::State;
    use sreg_domain::TargetKind;
    use sreg_planner::plan::WaitReason;

    use super::*;

    fn key(name: &str) -> ObjectKey {
        ObjectKey {
            namespace: "ml".into(),
            name: name.into(),
        }
    }

    fn then() -> Timestamp {
        Timestamp::from_second(1_800_000_000).unwrap()
    }

    fn gauges() -> Gauges {
        Gauges {
            state: State::Proving,
            open_targets: BTreeMap::from([(TargetKind::Registry, true), (TargetKind::Storage, false)]),
            waits: vec![
                WaitReason::ProofPending,
                WaitReason::AgentSilent,
                WaitReason::AgentSilent,
            ],
            locked: Some(false),
            break_glass: true,
            break_glass_uses: 1,
            relock_pending: false,
        }
    }

    #[test]
    fn an_object_has_one_series_for_its_state_and_one_for_each_thing_it_waits_for() {
        let metrics = Metrics::new();
        metrics.object(&key("models"), &gauges(), then());
        let text = metrics.encode();
        let object = r#"namespace="ml",name="models""#;
        for line in [
            "secureregistry_objects 1",
            &format!(r#"secureregistry_state{{{object},state="Proving"}} 1"#),
            &format!(r#"secureregistry_public_access_open{{{object},target="registry"}} 1"#),
            &format!(r#"secureregistry_public_access_open{{{object},target="storage"}} 0"#),
            &format!(r#"secureregistry_locked{{{object}}} 0"#),
            &format!(r#"secureregistry_break_glass{{{object}}} 1"#),
            &format!(r#"secureregistry_break_glass_uses_total{{{object}}} 1"#),
            &format!(r#"secureregistry_break_glass_relock_pending{{{object}}} 0"#),
            &format!(r#"secureregistry_last_look_timestamp_seconds{{{object}}} 1800000000"#),
            &format!(r#"secureregistry_waiting{{{object},reason="AgentSilent"}} 1"#),
            &format!(r#"secureregistry_waiting{{{object},reason="ProofPending"}} 1"#),
        ] {
            assert_eq!(text.lines().filter(|l| *l == line).count(), 1, "{line}\n{text}");
        }
        // Not known is neither open nor closed.
        assert!(!text.contains(r#"target="containerRegistry""#), "{text}");
    }

    #[test]
    fn a_later_report_replaces_the_earlier_one_and_a_gone_object_leaves_nothing_behind() {
        let metrics = Metrics::new();
        metrics.object(&key("models"), &gauges(), then());
        metrics.object(
            &key("models"),
            &Gauges {
                state: State::Locked,
                waits: Vec::new(),
                ..gauges()
            },
            then(),
        );
        let text = metrics.encode();
        assert!(
            text.contains(r#"state="Locked""#) && !text.contains(r#"state="Proving""#),
            "{text}"
        );
        assert!(!text.contains("secureregistry_waiting{"), "{text}");
        metrics.forget(&key("models"));
        assert!(!metrics.encode().contains("models"));
    }

    #[test]
    fn uses_of_break_glasses_add_up_from_report_to_report() {
        let metrics = Metrics::new();
        for break_glass_uses in [0, 1, 0, 2, 0] {
            let gauges = Gauges {
                break_glass_uses,
                ..gauges()
            };
            metrics.object(&key("models"), &gauges, then());
        }
        let line = r#"secureregistry_break_glass_uses_total{namespace="ml",name="models"} 3"#;
        assert!(metrics.encode().lines().any(|l| l == line), "{}", metrics.encode());
    }

    #[test]
    fn passes_steps_and_leadership_are_counted() {
        let metrics = Metrics::new();
        metrics.pass(
            "secureregistries",
            PassResult::DeadlineExceeded,
            Duration::from_millis(40),
        );
        metrics.step("close", "done");
        metrics.step("close", "done");
        metrics.leader(true);
        let text = metrics.encode();
        for line in [
            r#"secureregistry_passes_total{controller="secureregistries",result="deadline_exceeded"} 1"#,
            r#"secureregistry_passes_total{controller="breakglasses",result="settled"} 0"#,
            r#"secureregistry_pass_duration_seconds_bucket{le="0.05",controller="secureregistries"} 1"#,
            r#"secureregistry_steps_total{action="close",result="done"} 2"#,
            "secureregistry_leader 1",
            "# EOF",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}\n{text}");
        }
        metrics.leader(false);
        assert!(metrics.encode().contains("secureregistry_leader 0"));
    }

    #[test]
    fn names_that_prometheus_would_misread_are_escaped() {
        let metrics = Metrics::new();
        metrics.object(&key("a\"b\\c\nd"), &gauges(), then());
        assert!(metrics.encode().contains(r#"name="a\"b\\c\nd""#));
    }
}
