//! ARM paths taken apart: scope, provider, types and names. Pure.

/// A request path below ARM, without its query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ArmPath {
    /// The whole path as sent, without empty segments.
    pub(crate) text: String,
    /// Subscription id, as sent.
    pub(crate) subscription: Option<String>,
    /// Resource group name, as sent.
    pub(crate) group: Option<String>,
    /// What stands before the last `/providers/`: the scope of a resource or extension.
    pub(crate) scope: String,
    /// Provider namespace of the last `/providers/`, as sent.
    pub(crate) namespace: Option<String>,
    /// Type segments after the namespace, as sent.
    pub(crate) types: Vec<String>,
    /// Name segments after the namespace; one less than the types when the path is a collection.
    pub(crate) names: Vec<String>,
}

impl ArmPath {
    /// Takes a path apart. `None` when it is none of ARM's forms. Empty segments count for nothing, as in Azure: clients put a
    /// whole id after a slash, and leave a parent's path empty.
    pub(crate) fn parse(path: &str) -> Option<ArmPath> {
        if !path.starts_with('/') {
            return None;
        }
        let segments: Vec<&str> = path.split('/').filter(|s| !s.is_empty()).collect();
        let text: String = segments.iter().map(|s| format!("/{s}")).collect();
        let named = |at: usize, word: &str| segments.get(at).is_some_and(|s| s.eq_ignore_ascii_case(word));
        let subscription = named(0, "subscriptions").then(|| segments.get(1)).flatten();
        let group = named(2, "resourceGroups").then(|| segments.get(3)).flatten();
        let last = segments.iter().rposition(|s| s.eq_ignore_ascii_case("providers"));
        let after: &[&str] = last.map_or(&[], |at| &segments[at + 1..]);
        let scope = last.map_or(text.clone(), |at| {
            segments[..at].iter().map(|s| format!("/{s}")).collect()
        });
        let rest = after.get(1..).unwrap_or(&[]);
        Some(ArmPath {
            subscription: subscription.map(|s| (*s).to_owned()),
            group: group.map(|s| (*s).to_owned()),
            scope,
            namespace: after.first().map(|s| (*s).to_owned()),
            types: rest.iter().step_by(2).map(|s| (*s).to_owned()).collect(),
            names: rest.iter().skip(1).step_by(2).map(|s| (*s).to_owned()).collect(),
            text,
        })
    }

    /// Provider type in lower case, such as `microsoft.network/privateendpoints`.
    pub(crate) fn kind(&self) -> String {
        match &self.namespace {
            Some(namespace) => std::iter::once(namespace)
                .chain(&self.types)
                .map(|s| s.to_ascii_lowercase())
                .collect::<Vec<_>>()
                .join("/"),
            None => self.own_kind().unwrap_or("").to_owned(),
        }
    }

    /// What a path without a provider names, which ARM itself answers; `None`: nothing.
    fn own_kind(&self) -> Option<&'static str> {
        let lower = self.text.to_ascii_lowercase();
        let segments: Vec<&str> = lower.split('/').skip(1).collect();
        match segments.as_slice() {
            ["subscriptions"] | ["subscriptions", _] => Some("microsoft.resources/subscriptions"),
            ["tenants"] => Some("microsoft.resources/tenants"),
            ["providers"] | ["subscriptions", _, "providers"] => Some("microsoft.resources/providers"),
            ["subscriptions", _, "locations"] => Some("microsoft.resources/locations"),
            ["subscriptions", _, "resources"] | ["subscriptions", _, "resourcegroups", _, "resources"] => {
                Some("microsoft.resources/resources")
            }
            ["subscriptions", _, "resourcegroups"] | ["subscriptions", _, "resourcegroups", _] => {
                Some("microsoft.resources/resourcegroups")
            }
            _ => None,
        }
    }

    /// Whether the path names a list rather than one resource.
    pub(crate) fn is_collection(&self) -> bool {
        match self.namespace {
            Some(_) => self.types.len() > self.names.len(),
            None => self.text.split('/').skip(1).count() % 2 == 1,
        }
    }

    /// The last name in the path, or the empty string.
    pub(crate) fn name(&self) -> &str {
        self.names.last().map_or("", String::as_str)
    }

    /// Id of the resource one step up: of `…/zones/z/A/www` and of the list `…/zones/z/A` it is `…/zones/z`.
    pub(crate) fn parent(&self) -> String {
        match self.is_collection() && self.types.len() > 1 {
            true => self
                .text
                .rsplit_once('/')
                .map_or(String::new(), |(parent, _)| parent.to_owned()),
            false => parent_of(&self.text),
        }
    }
}

/// Id one step up (two segments, or four where a provider begins).
pub(crate) fn parent_of(id: &str) -> String {
    let segments: Vec<&str> = id.trim_end_matches('/').split('/').collect();
    let mut keep = segments.len().saturating_sub(2);
    if keep >= 2 && segments[keep - 2].eq_ignore_ascii_case("providers") {
        keep -= 2;
    }
    segments[..keep].join("/")
}

/// Provider type of an id in lower case.
pub(crate) fn kind_of(id: &str) -> String {
    ArmPath::parse(id).map(|path| path.kind()).unwrap_or_default()
}

/// The last segment of an id.
pub(crate) fn name_of(id: &str) -> &str {
    id.trim_end_matches('/').rsplit('/').next().unwrap_or("")
}

/// The subscription of an id, as spelled there.
pub(crate) fn subscription_of(id: &str) -> &str {
    id.split('/').nth(2).unwrap_or("")
}

/// Id of the resource group that holds this id, or the empty string.
pub(crate) fn group_id_of(id: &str) -> String {
    match ArmPath::parse(id) {
        Some(ArmPath {
            subscription: Some(s),
            group: Some(g),
            ..
        }) => format!("/subscriptions/{s}/resourceGroups/{g}"),
        Some(_) | None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_resource_is_taken_apart() {
        let path =
            ArmPath::parse("/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/privateEndpoints/e/privateDnsZoneGroups/default")
                .unwrap();
        assert_eq!(path.kind(), "microsoft.network/privateendpoints/privatednszonegroups");
        assert_eq!(path.names, ["e", "default"]);
        assert!(!path.is_collection());
        assert!(path.parent().ends_with("/privateEndpoints/e"));
        assert_eq!(parent_of(&path.parent()), "/subscriptions/s/resourceGroups/g");
    }

    #[test]
    fn collections_groups_and_extensions_are_told_apart() {
        let list = ArmPath::parse("/subscriptions/s/providers/Microsoft.Network/privateEndpoints").unwrap();
        assert!(list.is_collection() && list.group.is_none());
        let group = ArmPath::parse("/subscriptions/s/resourcegroups/g/").unwrap();
        assert_eq!(group.kind(), "microsoft.resources/resourcegroups");
        assert!(!group.is_collection());
        assert!(
            ArmPath::parse("/subscriptions/s/resourceGroups")
                .unwrap()
                .is_collection()
        );
        let denied =
            ArmPath::parse("/subscriptions/s/resourceGroups/g/providers/Microsoft.Authorization/denyAssignments");
        assert_eq!(denied.unwrap().scope, "/subscriptions/s/resourceGroups/g");
        assert_eq!(ArmPath::parse("subscriptions/x"), None);
    }

    #[test]
    fn empty_segments_count_for_nothing() {
        let read = |path: &str| ArmPath::parse(path).unwrap();
        let whole = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/hub";
        for spelled in [
            format!("/{whole}"),
            format!("{whole}/"),
            whole.replace("/virtualNetworks", "//virtualNetworks"),
        ] {
            assert_eq!(read(&spelled), read(whole), "{spelled}");
        }
        // A subscription left out is one with the name of what follows, and is refused as such.
        assert_eq!(
            read("/subscriptions//resourceGroups/g").subscription.as_deref(),
            Some("resourceGroups")
        );
    }

    #[test]
    fn what_arm_answers_itself_is_told_apart_from_paths_that_lead_nowhere() {
        let kind = |path: &str| ArmPath::parse(path).unwrap().kind();
        for (path, expected) in [
            ("/subscriptions/s/resources", "resources"),
            ("/subscriptions/s/resourceGroups/g/resources", "resources"),
            ("/subscriptions/s/locations", "locations"),
            ("/subscriptions/s/providers", "providers"),
            ("/providers", "providers"),
            ("/tenants", "tenants"),
        ] {
            assert_eq!(kind(path), format!("microsoft.resources/{expected}"), "{path}");
        }
        for path in [
            "/nothing",
            "/subscriptions/s/nothing",
            "/subscriptions/s/resourceGroups/g/x/y",
        ] {
            assert_eq!(kind(path), "", "{path}");
        }
    }
}
