//! What earlier looks left behind for the next one.

use std::collections::BTreeSet;

use crate::action::Operation;
use crate::ids::ArmId;

/// What is looked at by itself, because somebody knows of it: that a list or another resource leaves it out tells nothing.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// Operations that status recorded.
    pub operations: Vec<Operation>,
    /// Private endpoints that were seen, wanted or not.
    pub endpoints: BTreeSet<ArmId>,
    /// Storage accounts and container registries that the registry named: looked at where Azure does not find the registry.
    pub accounts: BTreeSet<ArmId>,
    /// Those that the snapshot holds: looked at where the registry does not answer and public access is to be opened.
    pub in_snapshot: BTreeSet<ArmId>,
}
