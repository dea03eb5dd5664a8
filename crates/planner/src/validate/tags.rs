//! Tags by Azure's rules: names are compared without case, and some characters, prefixes and lengths are not taken. Azure answers
//! to some of it with an error, to two spellings of one name with one of the two, for ever.

use std::collections::BTreeMap;

use sreg_api::SecureRegistrySpec;
use sreg_api::names::{CLAIM_TAG, CREATED_TAG, OWNER_TAG};

use super::Checks;

/// A resource holds fifty tags; three of a registry's are ours.
const MOST: usize = 47;
/// Private DNS zones hold fifteen; one of them is ours.
const MOST_IN_DNS: usize = 14;
const LONGEST_NAME: usize = 512;
const LONGEST_VALUE: usize = 256;
const FORBIDDEN: [char; 7] = ['<', '>', '%', '&', '\\', '?', '/'];
const RESERVED: [&str; 3] = ["microsoft", "azure", "windows"];

/// Checks all tags of an object.
pub(super) fn check(spec: &SecureRegistrySpec, checks: &mut Checks) {
    of("spec.registry.tags", &spec.registry.tags, checks);
    of("spec.tags", &spec.tags, checks);
    if merged(&spec.tags, &spec.registry.tags).len() > MOST {
        checks.refuse(
            "spec.registry.tags",
            format!("with spec.tags these are more than {MOST} tags: Azure takes 50, and three are the operator's"),
        );
    }
    for place in &spec.endpoints {
        let path = format!("spec.endpoints[{}].tags", place.name);
        of(&path, &place.tags, checks);
        if merged(&spec.tags, &place.tags).len() > MOST_IN_DNS {
            checks.refuse(
                &path,
                format!("with spec.tags these are more than {MOST_IN_DNS} tags: private DNS zones take 15, and one is the operator's"),
            );
        }
    }
}

fn of(path: &str, tags: &BTreeMap<String, String>, checks: &mut Checks) {
    let mut names: BTreeMap<String, &str> = BTreeMap::new();
    for (name, value) in tags {
        let shown: String = name.chars().take(40).collect();
        if let Some(other) = names.insert(name.to_lowercase(), name) {
            checks.refuse(
                path,
                format!("{other:?} and {shown:?} are one tag for Azure, which compares names without case: remove one of them"),
            );
        }
        if let Some(why) = wrong(name, value) {
            checks.refuse(path, format!("tag {shown:?} {why}"));
        }
    }
}

/// What Azure would not take.
fn wrong(name: &str, value: &str) -> Option<String> {
    let lower = name.to_lowercase();
    if name.trim().is_empty() {
        return Some("has no name: write one".to_owned());
    }
    if [OWNER_TAG, CLAIM_TAG, CREATED_TAG].contains(&lower.as_str()) {
        return Some("is the operator's own: remove it".to_owned());
    }
    if name.chars().count() > LONGEST_NAME {
        return Some(format!("has a name of more than {LONGEST_NAME} characters: shorten it"));
    }
    if value.chars().count() > LONGEST_VALUE {
        return Some(format!(
            "has a value of more than {LONGEST_VALUE} characters: shorten it"
        ));
    }
    if let Some(bad) = name.chars().find(|c| FORBIDDEN.contains(c) || c.is_control()) {
        return Some(format!(
            "has {bad:?} in its name, which Azure does not take: neither angle brackets nor % & \\ ? / may stand there"
        ));
    }
    let reserved = RESERVED.into_iter().find(|prefix| lower.starts_with(prefix))?;
    Some(format!(
        "begins with {reserved:?}, which Azure keeps for itself: give it another name"
    ))
}

/// Both together; of one name, however spelled, the second counts.
pub(super) fn merged(common: &BTreeMap<String, String>, more: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let given_again = |name: &String| more.keys().any(|other| other.to_lowercase() == name.to_lowercase());
    let kept = common.iter().filter(|(name, _)| !given_again(name));
    kept.chain(more)
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}
