//! What roles allow us (`…/providers/Microsoft.Authorization/permissions`), where the plan is going to write. Complete answers are
//! believed for some minutes; where a right is missing it is asked again with every visit, because somebody may grant it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use serde_json::Value;
use sreg_api::registry::DnsMode;
use sreg_domain::desired::Desired;
use sreg_domain::rights::{self, Permission, Permissions, Place};
use sreg_domain::seen::{Fact, RegistryDetails, Targets};
use sreg_domain::{ArmId, CallFailure, Cause};
use tokio::sync::OnceCell;

use super::remembered::Remembered;
use super::{Look, nonsense};
use crate::arm::Call;
use crate::arm::Leaving;
use crate::json;

/// How long rights that suffice are believed: a refusal would tell that they were taken away.
const AGE: Duration = Duration::from_secs(300);
/// Permissions by scope.
pub(crate) type Rights = Remembered<ArmId, Permissions>;

/// What one visit asked, by scope.
pub(super) type Asked = Mutex<BTreeMap<ArmId, Arc<OnceCell<Result<Permissions, CallFailure>>>>>;

/// Nothing is known yet.
pub(crate) fn unknown() -> Rights {
    Remembered::for_so_long(AGE)
}

impl Look<'_> {
    /// What roles allow us on a scope. Remembered if it suffices.
    pub(super) async fn permissions(
        &self,
        scope: &ArmId,
        suffices: impl Fn(&Permissions) -> bool,
    ) -> Fact<Permissions> {
        match self.allowed(scope, suffices).await {
            Ok(permissions) => Fact::Seen(permissions),
            Err(error) => Fact::Unknown(error.into_ignorance()),
        }
    }

    async fn allowed(
        &self,
        scope: &ArmId,
        suffices: impl Fn(&Permissions) -> bool,
    ) -> Result<Permissions, CallFailure> {
        let cache = &self.inner.rights;
        if let Some(known) = cache.get(scope).filter(&suffices) {
            return Ok(known);
        }
        let once = {
            let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(asked.entry(scope.clone()).or_default())
        };
        let answer = once.get_or_init(|| self.ask(scope)).await.clone();
        if let Some(permissions) = answer.as_ref().ok().filter(|p| suffices(p)) {
            cache.put(scope.clone(), permissions.clone());
        }
        answer
    }

    /// Rights that suffice and are known already, at a scope or above it: what is granted above holds below.
    fn known_above(&self, scope: &ArmId, suffices: impl Fn(&Permissions) -> bool) -> Option<Permissions> {
        let above = std::iter::successors(Some(scope.clone()), above);
        let mut known = above.filter_map(|scope| self.inner.rights.get(&scope));
        known.find(suffices)
    }

    async fn ask(&self, scope: &ArmId) -> Result<Permissions, CallFailure> {
        let call = Call::list(self.arm(), scope, "providers/Microsoft.Authorization/permissions");
        let items = self.list_as_it_comes(call, Some).await?;
        let permissions: Result<_, _> = items.iter().map(permission).collect();
        permissions.map(Permissions).map_err(|why| nonsense(scope, why))
    }

    /// Why a list of what stands at a scope may lack something, if so: to whoever may not read all of it Azure may answer what is
    /// left of it, and no refusal (azure.md §11, U35).
    pub(super) async fn may_be_short(&self, attempt: &str, scope: &ArmId, action: &str) -> Option<CallFailure> {
        let may_read = |permissions: &Permissions| permissions.allow(action);
        if self.known_above(scope, may_read).is_some() {
            return None;
        }
        match self.allowed(scope, may_read).await {
            Ok(permissions) if may_read(&permissions) => None,
            Ok(_) => Some(CallFailure::local(attempt, Cause::Forbidden, blind(scope, action))),
            // The list came: that its scope has no permissions says nothing of what is listed, least of all that it is not there.
            Err(error) if error.cause == Cause::Missing => Some(CallFailure {
                cause: Cause::Nonsense,
                ..error
            }),
            Err(error) => Some(error),
        }
    }
}

/// What is said where a list would not be believed.
pub(super) fn blind(scope: &ArmId, action: &str) -> String {
    let action = rights::spelled(action).unwrap_or(action);
    format!(
        "no role allows action '{action}' over scope '{scope}', and without that Azure may answer with a list that is short or empty"
    )
}

/// The scope above one: what a resource is a child of, its group, and the subscription.
fn above(scope: &ArmId) -> Option<ArmId> {
    let subscription = Some(scope.subscription_id()).filter(|above| above != scope);
    let group = scope.resource_group_id().filter(|group| group != scope);
    scope.parent().or(group).or(subscription)
}

fn permission(item: &Value) -> Result<Permission, &'static str> {
    let texts = |pointer: &str| {
        let items = json::list(item, pointer).iter();
        items.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    if !item["actions"].is_array() {
        return Err("a permission has no actions");
    }
    Ok(Permission {
        actions: texts("/actions"),
        not_actions: texts("/notActions"),
    })
}

/// Rights wherever something is going to be written for this object. Nothing is asked where nothing is written.
pub(super) async fn where_we_write(
    look: &Look<'_>,
    desired: &Desired,
    registry: Option<&RegistryDetails>,
) -> BTreeMap<ArmId, Fact<Permissions>> {
    if desired.observe_only {
        return BTreeMap::new();
    }
    let asked = join_all(scopes(desired, registry).into_iter().map(|(scope, place)| async move {
        let suffices = |permissions: &Permissions| rights::of(place).all(|right| permissions.allow(right.action));
        let fact = look.permissions(&scope, suffices).await;
        (scope, fact)
    }));
    asked.await.into_iter().collect()
}

/// The same for what is about to be removed where the spec no longer names the resource group.
pub(super) async fn to_remove<'a>(
    look: &Look<'_>,
    endpoints: impl Iterator<Item = &'a ArmId>,
    asked: &BTreeMap<ArmId, Fact<Permissions>>,
) -> BTreeMap<ArmId, Fact<Permissions>> {
    let groups = endpoints.filter_map(ArmId::resource_group_id);
    let groups = groups.filter(|group| !asked.contains_key(group));
    let suffices =
        |permissions: &Permissions| rights::of(Place::Endpoints).all(|right| permissions.allow(right.action));
    super::each(groups, |group| async move { look.permissions(&group, suffices).await }).await
}

/// How many networks, and how many subnets, one visit asks for the right to put rules back.
const MOST_NETWORKS: usize = 32;

/// The right to put back rules of firewalls that name subnets, by subnet: the lock takes them away. A firewall may name hundreds, and
/// roles are mostly given on networks: each network is asked once, and a subnet only where its network does not allow it. Rules name
/// networks of anybody: what no grant covers is not looked at, and the plan says so.
pub(super) async fn to_put_back(
    look: &Look<'_>,
    desired: &Desired,
    targets: &Targets,
) -> BTreeMap<ArmId, Fact<Permissions>> {
    if desired.observe_only {
        return BTreeMap::new();
    }
    let rules = targets.seen().flat_map(|target| &target.virtual_network_rules);
    let subnets = rules.filter_map(|subnet| subnet.parse::<ArmId>().ok());
    let subnets: BTreeSet<ArmId> = subnets.filter(|subnet| desired.grants.allow_network(subnet)).collect();
    let may_join = |permissions: &Permissions| permissions.allow(rights::JOIN_VIA_SERVICE_ENDPOINT);
    let mut facts = BTreeMap::new();
    let mut networks: BTreeMap<ArmId, Vec<ArmId>> = BTreeMap::new();
    for subnet in subnets {
        match look.known_above(&subnet, may_join) {
            Some(permissions) => {
                facts.insert(subnet, Fact::Seen(permissions));
            }
            None => networks.entry(network_of(&subnet)).or_default().push(subnet),
        }
    }
    let asked = networks.keys().take(MOST_NETWORKS).cloned();
    let asked = super::each(
        asked,
        |network| async move { look.permissions(&network, may_join).await },
    )
    .await;
    let mut left = Vec::new();
    for (network, subnets) in networks {
        match asked.get(&network).and_then(Fact::seen).filter(|p| may_join(p)) {
            Some(enough) => facts.extend(subnets.into_iter().map(|subnet| (subnet, Fact::Seen(enough.clone())))),
            None if asked.contains_key(&network) => left.extend(subnets),
            None => facts.extend(subnets.into_iter().map(not_asked)),
        }
    }
    let not_now = left.split_off(left.len().min(MOST_NETWORKS));
    facts.extend(not_now.into_iter().map(not_asked));
    let subnets = super::each(left.into_iter(), |subnet| async move {
        look.permissions(&subnet, may_join).await
    });
    facts.extend(subnets.await);
    facts
}

fn network_of(subnet: &ArmId) -> ArmId {
    subnet.parent().unwrap_or_else(|| subnet.clone())
}

fn not_asked(subnet: ArmId) -> (ArmId, Fact<Permissions>) {
    let why = format!("one visit asks for rights on {MOST_NETWORKS} networks and {MOST_NETWORKS} subnets at most");
    (subnet, Fact::not_read(&why))
}

/// Where the plan looks for rights. A zone that we may have to make does not exist yet: its group is asked.
fn scopes(desired: &Desired, registry: Option<&RegistryDetails>) -> BTreeMap<ArmId, Place> {
    let mut scopes = BTreeMap::from([(desired.registry.clone(), Place::Registry)]);
    let managed = registry.and_then(|r| r.managed_resource_group.clone());
    scopes.extend(managed.map(|group| (group, Place::ManagedGroup)));
    for place in desired.endpoints() {
        scopes.insert(place.resource_group.clone(), Place::Endpoints);
        scopes.insert(place.subnet.clone(), Place::Networks);
        if place.dns.is_ours() {
            scopes.extend(place.dns.links.iter().map(|network| (network.clone(), Place::Networks)));
            let zones = place.dns.zones.values().filter_map(|zone| match place.dns.mode {
                DnsMode::Managed => zone.resource_group_id(),
                DnsMode::Existing | DnsMode::Policy | DnsMode::External => Some(zone.clone()),
            });
            scopes.extend(zones.map(|scope| (scope, Place::Zones)));
        }
    }
    scopes.extend(
        desired
            .zone_subscriptions()
            .into_iter()
            .chain(
                desired
                    .endpoints()
                    .iter()
                    .map(|place| place.resource_group.subscription_id()),
            )
            .chain([desired.registry.subscription_id()])
            .map(|scope| (scope, Place::Subscription)),
    );
    scopes
}
