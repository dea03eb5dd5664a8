//! What an object of a file wants, as far as the grants in the files let it.

use std::collections::{BTreeMap, BTreeSet};

use sreg_domain::grants::Requirements;
use sreg_domain::{ArmId, Desired, Grant, Grants, Purpose};
use sreg_planner::{PlanSettings, Violation, grants_serving, texts, validate};

use crate::documents::{Declared, Documents};

/// Stands for the id of the cluster, which makes it once it has the object.
pub(crate) const CLUSTER: &str = "CLUSTER";
/// Stands for the object's uid, which the API server makes.
pub(crate) const UID: &str = "UID";

/// Name of the grant that stands in for those that nobody was asked about, in what the planner says.
const ASSUMED: &str = "assumed";

/// What is desired of an object, or what is wrong with one that does not name its registry.
///
/// # Errors
/// The object does not say which registry it is about.
pub fn desired(documents: &Documents, declared: &Declared, settings: &PlanSettings) -> Result<Desired, Vec<Violation>> {
    let mut object = declared.object.clone();
    let metadata = &mut object.metadata;
    // The API server makes both; what a file says of them is from another time.
    metadata.uid = Some(UID.to_owned());
    metadata.generation = Some(1);
    metadata.deletion_timestamp = None;
    let settings = PlanSettings {
        cluster: CLUSTER.to_owned(),
        ..settings.clone()
    };
    let namespace = metadata.namespace.clone().unwrap_or_default();
    validate(&object, &settings, &grants(documents, declared, &namespace))
}

/// Those in the files that serve the namespace; where there are none at all, one for everything that the object names.
fn grants(documents: &Documents, declared: &Declared, namespace: &str) -> Grants {
    if documents.grants.is_empty() {
        return Grants::new(vec![assumed(declared)]);
    }
    let none = BTreeMap::new();
    let labels = documents.namespaces.get(namespace).unwrap_or(&none);
    let all = documents.grants.iter().map(|(name, grant)| (name.as_str(), grant));
    grants_serving(all, namespace, labels)
}

fn assumed(declared: &Declared) -> Grant {
    let spec = serde_json::to_value(&declared.object.spec).unwrap_or_default();
    let (mut subscriptions, mut vantage_points) = (BTreeSet::new(), BTreeSet::new());
    texts(&spec, &mut |text| {
        if let Ok(id) = text.parse::<ArmId>() {
            subscriptions.insert(id.subscription_id());
        }
    });
    let networks = declared.object.spec.client_networks.iter();
    vantage_points.extend(networks.map(|network| network.vantage_point.clone()));
    let scopes: Vec<ArmId> = subscriptions.into_iter().collect();
    Grant {
        name: ASSUMED.to_owned(),
        scopes: Purpose::all().map(|purpose| (purpose, scopes.clone())).collect(),
        vantage_points,
        requires: Ok(Requirements::default()),
    }
}
