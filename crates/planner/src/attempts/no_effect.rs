//! What is said of a write that Azure accepted and whose effect is not there: what it was to bring about, how it is instead, and who may
//! have undone it.

use sreg_domain::action_text::listed;
use sreg_domain::outside::word;
use sreg_domain::{Action, ArmId, AzureAction, Edit};

use crate::view::View;

/// What there is to say of a write that Azure accepted and that is planned again.
pub(super) fn no_effect(view: &View<'_>, action: &Action, why: &str, tries: i32) -> String {
    let Action::Azure(azure) = action else {
        return why.to_owned();
    };
    let id = azure.resource();
    let access = view.access.iter().find(|a| a.id == *id);
    let is_open = access.is_some_and(|a| a.closed == Some(false));
    let wanted = if is_open && azure.is_opening() {
        format!("put back whom the rules of {} let in", id.name())
    } else {
        wanted_effect(azure)
    };
    if !why.is_empty() {
        return format!("{wanted}: Azure was not as it had just been seen, {tries} times: {why}");
    }
    let open = access.map(|a| a.detail.as_str());
    let still = open.filter(|d| !d.is_empty() && (azure.is_closing() || azure.is_opening()));
    let still = still.map_or_else(|| "it is not so".to_owned(), |detail| format!("it is still {detail}"));
    let times = if tries == 1 {
        "once".to_owned()
    } else {
        format!("{tries} times")
    };
    let changes = matches!(azure, AzureAction::Edit { .. }) || azure.is_upkeep();
    let cause = if changes {
        "a policy with the effect Modify may put it back, or somebody does"
    } else {
        "somebody may undo it, or Azure does not show it"
    };
    format!(
        "{wanted}: Azure accepted that {times}, and {still}: {cause}; see who: az monitor activity-log list --resource-id {} --offset 1h",
        word(id)
    )
}

/// What a write is for, in the words of people.
fn wanted_effect(action: &AzureAction) -> String {
    let name = action.resource().name();
    match action {
        AzureAction::CreateRegistry { .. } => format!("create registry {name}"),
        AzureAction::SetTags { tags, removed, .. } if tags.is_empty() => {
            format!("remove tag {} from registry {name}", removed.join(", "))
        }
        AzureAction::SetTags { tags, .. } => {
            format!("tag registry {name} with {}", listed(tags))
        }
        AzureAction::MergeTags { id, tags, .. } => {
            format!("tag {id} with {}", listed(tags))
        }
        AzureAction::GrantManagedGroupAccess { principal, .. } => {
            format!("list the operator's principal {principal} in assignedIdentities of registry {name}")
        }
        AzureAction::CreateEndpoint { .. } => format!("create private endpoint {name}"),
        AzureAction::DeleteEndpoint { .. } => format!("delete private endpoint {name}"),
        AzureAction::CreateZone { .. } => format!("create private DNS zone {name}"),
        AzureAction::LinkZone { virtual_network, .. } => {
            format!("link {} by {}", virtual_network.name(), action.resource())
        }
        AzureAction::PutZoneGroup { id, .. } => {
            format!("write the DNS zone group of private endpoint {}", owner_of(id))
        }
        AzureAction::DeleteZoneGroup { id, .. } => {
            format!("delete the DNS zone group of private endpoint {}", owner_of(id))
        }
        AzureAction::Edit { target, edit, .. } => match edit {
            Edit::Close => format!("close public access of {target} {name}"),
            Edit::Restore(_) | Edit::Open => format!("open public access of {target} {name}"),
            Edit::AllowResource { resource, .. } => {
                format!(
                    "let registry {} in by a resource rule of storage account {name}",
                    resource.name()
                )
            }
        },
    }
}

fn owner_of(group: &ArmId) -> String {
    group
        .parent()
        .map_or_else(|| group.name().to_owned(), |p| p.name().to_owned())
}
