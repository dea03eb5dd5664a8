//! The registry itself: found, created closed, or missing; then what is ours on it (tags, the exemption of our principal) and the
//! rules on workspaces' storage.
//!
//! | registry | then |
//! | --- | --- |
//! | not known | wait; missing rights are Stalled with what to grant |
//! | absent, but something of it lives | Stalled: it may have been moved; nothing is created over it |
//! | absent, `create` | record that in the claim; at a later visit create it, closed from birth |
//! | absent | Stalled |
//! | seen, accounts missing in a region | wait for Azure; endpoints wait too |
//! | seen | tags and exemption are compared and set, one write per visit and wave |

use std::collections::BTreeMap;

use sreg_api::names;
use sreg_domain::seen::RegistryDetails;
use sreg_domain::{ArmId, AzureAction, ClusterAction, Edit, Fact, StepKind, TargetKind, TargetSeen, naming};

use crate::azure_claim;
use crate::contribution::{Contribution, Next, azure_step, cluster_step};
use crate::gone::{self, Gone};
use crate::never_locked;
use crate::plan::{FindingReason, Wait, WaitReason};
use crate::view::{WholeView, look_up, not_known};

/// Plans the registry's own resource. Where it is not (all) there, nothing that needs it may be planned.
pub(crate) fn plan(view: &WholeView<'_>) -> (Contribution, Next) {
    let mut draft = Contribution::default();
    let fact = view.seen.azure.registry();
    let name = view.desired.registry.name();
    if view.running(&view.desired.registry).is_some() {
        draft.waiting(
            WaitReason::OperationInProgress,
            format!("Azure is still changing registry {name}"),
        );
    }
    let next = match fact {
        Fact::Unknown(_) => {
            draft.wait(not_known(&format!("registry {name}"), fact));
            Next::Stop
        }
        Fact::Absent => {
            absent(view, &mut draft);
            Next::Stop
        }
        Fact::Seen(registry) => {
            upkeep(view, registry, &mut draft);
            match &view.targets.gap {
                Some(gap) => {
                    draft.wait(gap.clone());
                    Next::Stop
                }
                None => Next::GoOn,
            }
        }
    };
    (draft, next)
}

fn absent(view: &WholeView<'_>, draft: &mut Contribution) {
    let id = &view.desired.registry;
    match gone::registry(view) {
        Gone::Yes => {}
        Gone::No => return,
        Gone::NotKnown(wait) => return draft.wait(wait),
        Gone::Lives(sign) => {
            return draft.waiting(WaitReason::RegistryAbsentStalled, gone::moved(view, &sign));
        }
    }
    let Some(locations) = &view.spec.create else {
        return draft.waiting(
            WaitReason::RegistryAbsentStalled,
            format!("registry {id} does not exist: create it, add spec.registry.create to have it created, or correct resourceId"),
        );
    };
    if view.running(id).is_some() {
        return;
    }
    let assigned_identities = match (view.spec.grant_operator, &view.seen.azure.principal) {
        (false, _) => Vec::new(),
        (true, Fact::Seen(principal)) => vec![principal.object_id.clone()],
        (true, unknown) => return draft.wait(not_known("our own principal in Azure", unknown)),
    };
    let mark = never_locked::creation_mark(view);
    // Under Observe there is no claim, and nothing is carried out.
    if mark.is_none() && !view.desired.observe_only {
        let record = ClusterAction::RecordCreation {
            lease: naming::claim_name(id),
            mark: format!("{:x}", view.seen.nonce),
        };
        return draft.first.push(vec![cluster_step(StepKind::RecordCreation, record)]);
    }
    let mut tags = view.spec.tags_at_creation.clone();
    tags.extend(view.spec.tags.clone());
    tags.insert(names::OWNER_TAG.into(), view.desired.owner.clone());
    tags.extend(azure_claim::wanted(view));
    tags.extend(mark.map(|mark| (names::CREATED_TAG.to_owned(), mark.to_owned())));
    draft.azure.push(azure_step(
        StepKind::CreateRegistry.on(id.name()),
        AzureAction::CreateRegistry {
            id: id.clone(),
            locations: locations.clone(),
            tags,
            assigned_identities,
        },
    ));
}

/// Tags of the spec that are missing or differ. Azure compares tag names without case.
pub(crate) fn tags_to_set(wanted: &BTreeMap<String, String>, registry: &RegistryDetails) -> BTreeMap<String, String> {
    naming::tags_to_set(wanted, &registry.tags)
}

/// Our principal still has to be listed.
pub(crate) fn grant_is_missing(view: &WholeView<'_>) -> bool {
    let listed = |registry: &RegistryDetails| {
        view.seen.azure.principal.seen().is_some_and(|p| {
            registry
                .assigned_identities
                .iter()
                .any(|id| id.eq_ignore_ascii_case(&p.object_id))
        })
    };
    view.spec.grant_operator && view.registry().is_some_and(|r| !listed(r))
}

fn upkeep(view: &WholeView<'_>, registry: &TargetSeen, draft: &mut Contribution) {
    if view.running(&registry.id).is_some() {
        return;
    }
    if grant_is_missing(view) {
        match &view.seen.azure.principal {
            Fact::Seen(principal) => draft.upkeep.push(azure_step(
                StepKind::GrantOperator.on(registry.id.name()),
                AzureAction::GrantManagedGroupAccess {
                    id: registry.id.clone(),
                    principal: principal.object_id.clone(),
                    expected: registry.digest.clone(),
                },
            )),
            unknown @ (Fact::Absent | Fact::Unknown(_)) => draft.wait(not_known("our own principal in Azure", unknown)),
        }
    }
    let mut wanted = view.spec.tags.clone();
    wanted.extend(azure_claim::missing(view));
    let tags = registry
        .registry()
        .map(|details| tags_to_set(&wanted, details))
        .unwrap_or_default();
    if !tags.is_empty() {
        draft.upkeep.push(azure_step(
            StepKind::SetTags.on(registry.id.name()),
            AzureAction::SetTags {
                id: registry.id.clone(),
                tags,
                removed: Vec::new(),
                expected: registry.digest.clone(),
            },
        ));
    }
}

/// How Azure names the managed resource groups of registries (azure.md §1.6).
const MANAGED_GROUPS: &str = "azureml-rg-";

/// Whether an account stands behind this registry, or in a resource group that Azure made for one.
fn is_of_a_registry(view: &WholeView<'_>, id: &ArmId) -> bool {
    let group = id.resource_group().unwrap_or_default().to_ascii_lowercase();
    view.targets.ids().any(|account| account == id) || group.starts_with(MANAGED_GROUPS)
}

/// Rules on workspaces' storage that let the registry in (azure.md §9). What is missing here holds nothing up.
pub(crate) fn plan_sharing(view: &WholeView<'_>) -> Contribution {
    let mut draft = Contribution::default();
    let unread = Fact::not_read("nobody looked at the workspace's storage");
    for id in &view.spec.sharing {
        if is_of_a_registry(view, id) {
            draft.aside.push(Wait::new(WaitReason::RefusedStalled, format!(
                    "storage account {id} stands behind a registry, whose lock is not to be opened by a rule: name a workspace's storage under spec.sharing"
                )));
            continue;
        }
        let fact = look_up(&view.seen.azure.shared_storage, id, &unread);
        let storage = match fact {
            Fact::Seen(storage) => storage,
            Fact::Absent => {
                draft.aside.push(Wait::new(
                    WaitReason::RefusedStalled,
                    format!("storage account {id} does not exist: correct or remove it under spec.sharing"),
                ));
                continue;
            }
            Fact::Unknown(_) => {
                draft
                    .aside
                    .push(not_known(&format!("storage account {}", id.name()), fact));
                continue;
            }
        };
        if storage
            .public_network_access
            .as_deref()
            .is_some_and(|access| access.eq_ignore_ascii_case("Disabled"))
        {
            draft.find(
                FindingReason::BypassKept,
                format!("storage {} has publicNetworkAccess=Disabled: sharing to the registry does not work until it is Enabled with defaultAction=Deny", id.name()),
            );
        }
        let registry = view.desired.registry.key();
        if storage
            .resource_access_rules
            .iter()
            .any(|rule| rule.eq_ignore_ascii_case(registry))
            || view.running(id).is_some()
        {
            continue;
        }
        match &view.seen.azure.principal {
            Fact::Seen(principal) => draft.upkeep.push(azure_step(
                StepKind::AllowRegistry.on(id.name()),
                AzureAction::Edit {
                    target: TargetKind::Storage,
                    id: id.clone(),
                    edit: Edit::AllowResource {
                        resource: view.desired.registry.clone(),
                        tenant: principal.tenant_id.clone(),
                    },
                    expected: storage.digest.clone(),
                },
            )),
            unknown @ (Fact::Absent | Fact::Unknown(_)) => {
                draft.aside.push(not_known("our own principal in Azure", unknown))
            }
        }
    }
    draft
}
