//! What else changed with a write of ours: fields that it does not name and that read otherwise afterwards, because a policy
//! (effect Modify), Azure itself or somebody at the same moment changed them. After a write that ends at once the target is read
//! again; where Azure goes on by itself what was there before is kept until the operation has ended.
//!
//! Remembered by the process only: what ended while no process looked is not told.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use sreg_domain::outside::words;
use sreg_domain::seen::AlsoChanged;
use sreg_domain::{ArmId, StepId};
use tokio::time::Instant;

use crate::json;

/// For so long it is told.
const TOLD_FOR: Duration = Duration::from_secs(24 * 3600);
/// For so long the end of an operation is waited for; Azure keeps the state of one for about a day.
const PENDING_FOR: Duration = Duration::from_secs(24 * 3600);
/// How many targets are remembered.
const MOST: usize = 4096;
/// How many fields of one are told, and how long a name is: tags have any name that somebody thought of.
const MOST_FIELDS: usize = 64;
const LONGEST_FIELD: usize = 200;

/// Changed fields that were not ours, by target.
#[derive(Debug, Default)]
pub(crate) struct OtherChanges {
    pending: Mutex<HashMap<ArmId, Pending>>,
    told: Mutex<BTreeMap<ArmId, Told>>,
}

/// A target before a write of ours whose operation has not ended.
#[derive(Debug)]
struct Pending {
    step: StepId,
    before: Value,
    named: Vec<&'static str>,
    since: Instant,
}

#[derive(Debug)]
struct Told {
    change: AlsoChanged,
    since: Instant,
}

impl OtherChanges {
    /// A write has started an operation on this target, which read `before` and of which the write names these fields.
    pub(crate) fn started(&self, target: &ArmId, step: &StepId, before: &Value, named: &[&'static str]) {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        pending.retain(|_, pending| pending.since.elapsed() < PENDING_FOR);
        if pending.len() < MOST {
            let one = Pending {
                step: step.clone(),
                before: json::settled(before),
                named: named.to_vec(),
                since: Instant::now(),
            };
            pending.insert(target.clone(), one);
        }
    }

    /// Whether the end of an operation on this target is waited for.
    pub(crate) fn awaits(&self, target: &ArmId) -> bool {
        let pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        pending.contains_key(target)
    }

    /// The operation on this target has ended, and it reads like this by now; `None`: nothing can be told of it.
    pub(crate) fn ended(&self, target: &ArmId, after: Option<&Value>) {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some(before), Some(after)) = (pending.remove(target), after) {
            let fields = fields(&before.before, after, &before.named);
            self.found(target, &before.step, fields);
        }
    }

    /// A write of this step is done; these fields changed besides. They go for what was told of the target before.
    pub(crate) fn found(&self, target: &ArmId, step: &StepId, fields: Vec<String>) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.retain(|_, told| told.since.elapsed() < TOLD_FOR);
        if fields.is_empty() {
            told.remove(target);
        } else if told.len() < MOST {
            let fields = fields.iter().take(MOST_FIELDS);
            let change = AlsoChanged {
                resource: target.clone(),
                step: step.clone(),
                fields: fields.map(|field| words(field, LONGEST_FIELD).into_owned()).collect(),
            };
            let since = Instant::now();
            told.insert(target.clone(), Told { change, since });
        }
    }

    /// What is to be told of these targets, in order.
    pub(crate) fn of<'a>(&self, targets: impl IntoIterator<Item = &'a ArmId>) -> Vec<AlsoChanged> {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = |target: &ArmId| told.get(target).filter(|told| told.since.elapsed() < TOLD_FOR);
        let mut all: Vec<AlsoChanged> = targets
            .into_iter()
            .filter_map(fresh)
            .map(|t| t.change.clone())
            .collect();
        all.sort_by(|a, b| a.resource.cmp(&b.resource));
        all
    }
}

/// Changed fields, as JSON pointers, that the edit does not name.
pub(crate) fn fields(before: &Value, after: &Value, named: &[&str]) -> Vec<String> {
    let named = |pointer: &String| {
        named
            .iter()
            .any(|n| pointer == n || pointer.starts_with(&format!("{n}/")))
    };
    json::differences(&json::settled(before), &json::settled(after))
        .into_iter()
        .filter(|p| !named(p))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use sreg_domain::StepKind;

    use super::*;

    const NAMED: [&str; 1] = ["/properties/publicNetworkAccess"];

    fn target(name: &str) -> ArmId {
        format!("/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/{name}")
            .parse()
            .unwrap()
    }

    fn body(access: &str, tls: &str) -> Value {
        json!({"properties": {"publicNetworkAccess": access, "minimumTlsVersion": tls}})
    }

    #[test]
    fn only_changes_that_are_not_ours_are_reported() {
        let before = json!({"etag": "1", "properties": {"publicNetworkAccess": "Enabled", "managedResourceGroupTags": {"a": "b"}, "x": 1}});
        let after = json!({"etag": "2", "properties": {"publicNetworkAccess": "Disabled", "x": 2, "provisioningState": "Updating"}});
        assert_eq!(
            fields(&before, &after, &NAMED),
            ["/properties/managedResourceGroupTags", "/properties/x"]
        );
        assert!(fields(&before, &before, &NAMED).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn what_an_operation_changed_besides_is_told_once_it_has_ended_and_for_a_day() {
        let changes = OtherChanges::default();
        let step = StepKind::Close.on("storage a");
        changes.started(&target("a"), &step, &body("Enabled", "TLS1_2"), &NAMED);
        assert!(changes.awaits(&target("a")) && !changes.awaits(&target("b")));
        assert!(changes.of([&target("a")]).is_empty());
        changes.ended(&target("a"), Some(&body("Disabled", "TLS1_0")));
        assert!(!changes.awaits(&target("a")));
        let told = changes.of([&target("b"), &target("a")]);
        assert_eq!(told.len(), 1);
        assert_eq!((&told[0].resource, &told[0].step), (&target("a"), &step));
        assert_eq!(told[0].fields, ["/properties/minimumTlsVersion"]);
        tokio::time::advance(TOLD_FOR).await;
        assert!(changes.of([&target("a")]).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_write_of_a_target_tells_anew() {
        let changes = OtherChanges::default();
        let step = StepKind::Close.on("storage a");
        changes.found(&target("a"), &step, vec!["/properties/x".into()]);
        changes.started(&target("a"), &step, &body("Enabled", "TLS1_2"), &NAMED);
        changes.ended(&target("a"), None);
        assert_eq!(changes.of([&target("a")]).len(), 1, "nothing is known of the second");
        changes.found(&target("a"), &step, Vec::new());
        assert!(changes.of([&target("a")]).is_empty());
    }
}
