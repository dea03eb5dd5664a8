//! Names that only a container registry has, beside its login server: a data endpoint for each replica. Azure adds the names of a new replica to
//! the endpoints by itself (azure.md §3.2): whoever removed the endpoint of a locked registry for one would cut off all the others.

use sreg_domain::desired::EndpointPlace;
use sreg_domain::outside::word;
use sreg_domain::seen::ContainerRegistryDetails;
use sreg_domain::{ArmId, Fact, Fqdn, Location};

use super::unread;
use crate::plan::{Wait, WaitReason};
use crate::view::WholeView;

/// Data endpoints of a container registry that no endpoint of the place carries.
pub(super) fn data_endpoints(
    view: &WholeView<'_>,
    id: &ArmId,
    registry: &ContainerRegistryDetails,
    names: &[Fqdn],
    place: &EndpointPlace,
    gaps: &mut Vec<Wait>,
) {
    let passing = &registry.replicas_in_passing;
    let missing = registry
        .data_endpoints
        .iter()
        .filter(|host| !names.contains(host) && !passing.iter().any(|replica| is_of(host, replica)));
    gaps.extend(missing.map(|host| not_carried(view, id, host.as_str(), place)));
    // Nobody is sent there yet, or any more. What is locked stays proven; what is not waits for the names.
    if !view.all_closed() {
        gaps.extend(passing.iter().map(|replica| {
            Wait::new(
                WaitReason::PathsUnknown,
                format!(
                    "Azure is still adding or removing a replica of {} in {replica}",
                    id.name()
                ),
            )
        }));
    }
    let replicas = match &registry.replicas {
        Fact::Seen(replicas) if !replicas.is_empty() => replicas,
        Fact::Seen(_) | Fact::Absent => {
            gaps.push(Wait::new(
                WaitReason::PathsUnknown,
                format!("Azure reports no replica of {}", id.name()),
            ));
            return;
        }
        unknown => return gaps.push(unread(&format!("replicas of {}", id.name()), unknown)),
    };
    for replica in replicas {
        if !names.iter().any(|name| is_of(name, replica)) {
            let what = format!("the data endpoint of {} in {replica}", id.name());
            gaps.push(not_carried(view, id, &what, place));
        }
    }
}

/// The name of a replica's data endpoint.
fn is_of(name: &Fqdn, replica: &Location) -> bool {
    name.as_str().contains(&format!(".{replica}.data."))
}

fn not_carried(view: &WholeView<'_>, id: &ArmId, what: &str, place: &EndpointPlace) -> Wait {
    let remade = if view.all_open() {
        "; or delete the endpoint while public access is open, and it is made again"
    } else {
        ""
    };
    Wait::new(
        WaitReason::HostNotCovered,
        format!(
            "{what} is not among the names of the private endpoints of entry {}: clients that are sent there would be cut off. Azure adds its address to the endpoint by itself, if subnet {} has a free one and whoever adds the replica has the right Microsoft.Network/privateEndpoints/privateLinkServiceProxies/write: see to both, take the replica away and add it again (az acr replication list --registry {}){remade}",
            place.name,
            place.subnet,
            word(id.name())
        ),
    )
}
