//! What keeps writes and deletions from whoever has the right to them: resource locks and deny assignments.

use serde::{Deserialize, Serialize};

use crate::ids::ArmId;

/// Where a scope stands, seen from a resource.
enum Stands {
    /// It is the resource.
    On,
    /// Above it, inside of its subscription.
    Above,
    /// It is `/` or a management group, or nobody knows what: it is above everything that is asked about.
    AboveAll,
    Elsewhere,
}

/// A scope below a subscription whose names are ones that we make no sense of is compared as text: it stands where it says.
fn where_stands(scope: &str, id: &ArmId) -> Stands {
    let scope = scope.trim_end_matches('/');
    let key = match scope.parse::<ArmId>() {
        Ok(scope) => scope.key().to_owned(),
        Err(_) => scope.to_lowercase(),
    };
    if !key.starts_with("/subscriptions/") {
        return Stands::AboveAll;
    }
    match id.key().strip_prefix(&key) {
        Some("") => Stands::On,
        Some(rest) if rest.starts_with('/') => Stands::Above,
        Some(_) | None => Stands::Elsewhere,
    }
}

/// A resource lock (`Microsoft.Authorization/locks`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockSeen {
    /// Its id, which begins with its scope.
    pub id: String,
    /// `properties.level`: `CanNotDelete`, `ReadOnly`, …; each forbids a deletion.
    pub level: String,
}

impl LockSeen {
    /// What it locks: a subscription, a resource group or a resource.
    pub fn scope(&self) -> &str {
        const MARK: &str = "/providers/microsoft.authorization/locks/";
        let at = self.id.to_ascii_lowercase().find(MARK);
        at.and_then(|at| self.id.get(..at)).unwrap_or(&self.id)
    }

    /// Whether it stands on this resource, or above it. One of whose scope we make no sense may.
    pub fn covers(&self, id: &ArmId) -> bool {
        matches!(
            where_stands(self.scope(), id),
            Stands::Above | Stands::On | Stands::AboveAll
        )
    }

    /// Whether it stands on something that begins with this, as `…/privateDnsZones/ZONE/A/`.
    pub fn is_below(&self, prefix: &str) -> bool {
        self.scope()
            .to_ascii_lowercase()
            .starts_with(&prefix.to_ascii_lowercase())
    }

    /// Whether it forbids writes to what it covers. `None`: its level is one that this version does not know.
    pub fn forbids_writes(&self) -> Option<bool> {
        match self.level.to_ascii_lowercase().as_str() {
            "readonly" => Some(true),
            "cannotdelete" | "notspecified" => Some(false),
            _ => None,
        }
    }
}

/// A deny assignment (azure.md §1.6).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DenyAssignment {
    /// Its id.
    pub id: String,
    /// `properties.denyAssignmentName`.
    pub name: String,
    /// What it stands on: `/`, a management group, or an id below a subscription.
    pub scope: String,
    /// It does not hold for what lies below its scope.
    pub not_below: bool,
    /// Per permission: actions and notActions.
    pub permissions: Vec<(Vec<String>, Vec<String>)>,
    /// Principals that it does not touch.
    pub excluded_principals: Vec<String>,
    /// Groups are among the principals that it does not touch: who is a member of them is not told here.
    pub excludes_groups: bool,
    /// It applies to everyone, or to these principals.
    pub principals: Vec<String>,
    /// Groups are among the principals that it applies to.
    pub names_groups: bool,
}

impl DenyAssignment {
    /// Object id by which Azure says "everyone".
    pub const EVERYONE: &'static str = "00000000-0000-0000-0000-000000000000";

    /// Whether it stands on this resource, or above it. A scope outside of subscriptions is one above everything that is asked about.
    pub fn covers(&self, id: &ArmId) -> bool {
        match where_stands(&self.scope, id) {
            Stands::AboveAll | Stands::On => true,
            Stands::Above => !self.not_below,
            Stands::Elsewhere => false,
        }
    }

    /// Whether it forbids somebody this action.
    pub fn is_about(&self, action: &str) -> bool {
        self.permissions.iter().any(|(actions, not_actions)| {
            actions.iter().any(|a| matches_action(a, action)) && !not_actions.iter().any(|a| matches_action(a, action))
        })
    }

    /// Whether it forbids this principal this action. Wildcards match any run of characters, as in Azure's roles. `None`: groups are
    /// named, and whether we are in one of them is not told here.
    pub fn forbids(&self, principal: &str, action: &str) -> Option<bool> {
        let named = |list: &[String]| list.iter().any(|p| p.eq_ignore_ascii_case(principal));
        let about = self.is_about(action);
        let everyone = self.principals.is_empty() || self.principals.iter().any(|p| p == Self::EVERYONE);
        match everyone || named(&self.principals) {
            _ if !about || named(&self.excluded_principals) => Some(false),
            false if !self.names_groups => Some(false),
            true if !self.excludes_groups => Some(true),
            true | false => None,
        }
    }
}

pub(crate) fn matches_action(pattern: &str, action: &str) -> bool {
    let (pattern, action) = (pattern.to_ascii_lowercase(), action.to_ascii_lowercase());
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|head| action.strip_prefix(head)) else {
        return false;
    };
    let mut last = None;
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = rest.get(at + part.len()..).unwrap_or_default();
        last = Some(part);
    }
    match last {
        None => rest.is_empty(),
        Some(tail) => action.ends_with(tail),
    }
}
