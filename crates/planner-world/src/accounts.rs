//! The storage account and the container registry of the everyday world, looked at and changed as somebody with rights would.

use super::*;

pub fn storage_of(world: &World) -> &StorageSeen {
    world.seen.azure.storage[&storage("contosostore")].seen().unwrap()
}

pub fn acr_of(world: &World) -> &ContainerRegistrySeen {
    world.seen.azure.container_registries[&acr()].seen().unwrap()
}

pub fn change_storage(world: &mut World, change: impl FnOnce(&mut StorageSeen)) {
    if let Some(Fact::Seen(account)) = world.seen.azure.storage.get_mut(&storage("contosostore")) {
        change(account);
        apply::touch_storage(account);
    }
}

pub fn change_acr(world: &mut World, change: impl FnOnce(&mut ContainerRegistrySeen)) {
    if let Some(Fact::Seen(registry)) = world.seen.azure.container_registries.get_mut(&acr()) {
        change(registry);
        apply::touch_acr(registry);
    }
}
