//! The targets of the everyday world, looked at and changed as somebody with rights would.

use super::*;

/// Details of a target whose kind the test knows.
pub trait OfKnownKind {
    /// What only a registry has.
    fn as_registry(&mut self) -> &mut RegistryDetails;
    /// What only a storage account has.
    fn as_storage(&mut self) -> &mut StorageDetails;
    /// What only a container registry has.
    fn as_acr(&mut self) -> &mut ContainerRegistryDetails;
}

impl OfKnownKind for TargetSeen {
    fn as_registry(&mut self) -> &mut RegistryDetails {
        let TargetDetails::Registry(details) = &mut self.details else {
            panic!("{} is no registry", self.id)
        };
        details
    }

    fn as_storage(&mut self) -> &mut StorageDetails {
        let TargetDetails::Storage(details) = &mut self.details else {
            panic!("{} is no storage account", self.id)
        };
        details
    }

    fn as_acr(&mut self) -> &mut ContainerRegistryDetails {
        let TargetDetails::ContainerRegistry(details) = &mut self.details else {
            panic!("{} is no container registry", self.id)
        };
        details
    }
}

/// Says how the registry itself is seen.
pub fn see_registry(azure: &mut AzureSeen, fact: Fact<TargetSeen>) {
    azure.targets.insert(id(REGISTRY), fact);
}

/// Azure's answer to a read of the registry where its subscription does not exist, or not for us.
pub fn no_such_subscription() -> Fact<TargetSeen> {
    Fact::Unknown(Ignorance {
        attempt: format!("read {REGISTRY}"),
        kind: IgnoranceKind::Refused,
        message: "The subscription could not be found.".into(),
        code: Some("SubscriptionNotFound".into()),
        correlation_id: Some("c-1".into()),
        retry_after: None,
    })
}

/// Says of every target of one kind how it is seen.
pub fn see_all(world: &mut World, kind: TargetKind, fact: Fact<TargetSeen>) {
    let targets = &mut world.seen.azure.targets;
    let all: Vec<ArmId> = targets.of(kind).map(|(id, _)| id.clone()).collect();
    for id in all {
        targets.insert(id, fact.clone());
    }
}

/// The registry itself, where it is seen.
pub fn registry_of(world: &mut World) -> Option<&mut TargetSeen> {
    world.seen.azure.targets.seen_mut(&id(REGISTRY))
}

pub fn storage_of(world: &World) -> &TargetSeen {
    world.seen.azure.targets.get(&storage("contosostore")).seen().unwrap()
}

pub fn acr_of(world: &World) -> &TargetSeen {
    world.seen.azure.targets.get(&acr()).seen().unwrap()
}

pub fn change_registry(world: &mut World, change: impl FnOnce(&mut RegistryDetails)) {
    if let Some(registry) = registry_of(world) {
        change(registry.as_registry());
        settings::touch(registry);
    }
}

pub fn change_storage(world: &mut World, change: impl FnOnce(&mut TargetSeen)) {
    change_target(world, &storage("contosostore"), change);
}

pub fn change_acr(world: &mut World, change: impl FnOnce(&mut TargetSeen)) {
    change_target(world, &acr(), change);
}

fn change_target(world: &mut World, id: &ArmId, change: impl FnOnce(&mut TargetSeen)) {
    if let Some(target) = world.seen.azure.targets.seen_mut(id) {
        change(target);
        settings::touch(target);
    }
}
