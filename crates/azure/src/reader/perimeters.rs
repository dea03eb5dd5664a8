//! Network security perimeters that storage accounts are associated with (azure.md §5.1). An association lets in whom the perimeter's
//! rules name, whatever the account's own switch says; an enforced one keeps out everybody else, also once the account is opened again.
//! The account itself does not tell: its `publicNetworkAccess` may read `Disabled` or `Enabled` all the while.
//!
//! | association | the account is Disabled | the account is Enabled |
//! | --- | --- | --- |
//! | none | nobody comes in | whom its own rules let in |
//! | `Learning` (transition), or a mode that nobody here knows | whom the perimeter names | both |
//! | `Enforced` | whom the perimeter names | whom the perimeter names |

use std::time::Duration;

use serde_json::Value;
use sreg_domain::outside::word;
use sreg_domain::seen::{Fact, Obstacle, ObstacleKind};
use sreg_domain::{ArmId, CallFailure};

use super::Look;
use super::remembered::Remembered;
use crate::arm::{Call, Leaving};
use crate::json;

/// How long it is believed that an account is in none: a policy may put it into one at any time.
const AGE: Duration = Duration::from_secs(300);
/// Associations by account.
pub(crate) type Perimeters = Remembered<ArmId, Vec<Obstacle>>;

/// Nothing is known yet.
pub(crate) fn unknown() -> Perimeters {
    Remembered::for_so_long(AGE)
}

/// What of the associations of these accounts has to be known before they are closed. Azure asks for each account by itself.
pub(super) async fn around(look: &Look<'_>, accounts: impl Iterator<Item = ArmId>) -> Fact<Vec<Obstacle>> {
    let each = futures::future::join_all(accounts.map(|account| of(look, account))).await;
    match each.into_iter().collect::<Result<Vec<_>, _>>() {
        Ok(all) => Fact::Seen(all.into_iter().flatten().collect()),
        Err(error) => Fact::Unknown(error.into_ignorance()),
    }
}

async fn of(look: &Look<'_>, account: ArmId) -> Result<Vec<Obstacle>, CallFailure> {
    let known = &look.inner.perimeters;
    if let Some(known) = known.get(&account) {
        return Ok(known);
    }
    let call = Call::list(look.arm(), &account, "networkSecurityPerimeterConfigurations");
    let items = match look.list(call).await {
        Ok(items) => items,
        Err(error) if is_not_offered(&error) => Vec::new(),
        Err(error) => return Err(error),
    };
    let told: Vec<Obstacle> = items.iter().map(|item| association(&account, item)).collect();
    // One that somebody has to take out is looked at again with each visit.
    if told.is_empty() {
        known.put(account, told.clone());
    }
    Ok(told)
}

/// A cloud without perimeters. That nothing is found is not said of an account that is there.
fn is_not_offered(error: &CallFailure) -> bool {
    const CODES: [&str; 3] = [
        "InvalidResourceType",
        "NoRegisteredProviderFound",
        "FeatureNotSupported",
    ];
    let code = error.code.as_deref().unwrap_or_default();
    CODES.iter().any(|known| known.eq_ignore_ascii_case(code))
}

/// One association in words. What of it cannot be read counts all the same: somebody comes in by it.
fn association(account: &ArmId, item: &Value) -> Obstacle {
    let mode = json::text(item, "/properties/resourceAssociation/accessMode").unwrap_or("a mode that is not told");
    let perimeter = json::id(item, "/properties/networkSecurityPerimeter/id");
    let name = json::text(item, "/properties/resourceAssociation/name").filter(|name| !name.is_empty());
    let which = perimeter.as_ref().map_or("that is not named", ArmId::name);
    let lets_in = if mode.eq_ignore_ascii_case("Enforced") {
        "whom its rules name comes in though publicNetworkAccess is Disabled, and once that is Enabled again nobody else does"
    } else {
        "whom its rules name comes in though publicNetworkAccess is Disabled"
    };
    let out = match (&perimeter, name) {
        (Some(perimeter), Some(name)) => {
            let association = perimeter.child("resourceAssociations", name);
            format!("az resource delete --ids {}", word(&association))
        }
        _ => format!(
            "see which: az rest --method get --url {}",
            word(&format!(
                "{account}/networkSecurityPerimeterConfigurations?api-version=2024-01-01"
            ))
        ),
    };
    Obstacle {
        kind: ObstacleKind::Perimeter,
        key: format!(
            "perimeter {} {} of {}",
            perimeter.as_ref().map_or("unnamed", ArmId::key),
            mode.to_ascii_lowercase(),
            account.key()
        ),
        message: format!(
            "storage account {} is associated with network security perimeter {which} ({mode}): {lets_in}; whoever owns the perimeter takes the account out: {out}",
            account.name()
        ),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_association_is_told_with_its_mode_and_the_way_out_whatever_of_it_can_be_read() {
        let account: ArmId = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/a"
            .parse()
            .unwrap();
        let perimeter = "/subscriptions/s/resourceGroups/n/providers/Microsoft.Network/networkSecurityPerimeters/p";
        let item = |mode: &str| {
            json!({"properties": {"networkSecurityPerimeter": {"id": perimeter},
                "resourceAssociation": {"name": "assoc", "accessMode": mode}}})
        };
        let enforced = association(&account, &item("Enforced"));
        assert_eq!(enforced.kind, ObstacleKind::Perimeter);
        for words in [
            "perimeter p (Enforced)",
            "nobody else",
            "--ids",
            "/resourceAssociations/assoc",
        ] {
            assert!(enforced.message.contains(words), "{words}: {}", enforced.message);
        }
        let learning = association(&account, &item("Learning"));
        assert!(!learning.message.contains("nobody else") && learning.key != enforced.key);
        for odd in [
            json!({}),
            json!(null),
            json!({"properties": {"resourceAssociation": {"accessMode": 1}}}),
        ] {
            let odd = association(&account, &odd);
            assert!(odd.message.contains("az rest"), "{}", odd.message);
        }
    }
}
