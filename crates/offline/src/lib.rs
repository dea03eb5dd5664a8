//! Plans without a cluster, for whoever reviews a change before anything runs: the objects are read from YAML files, Azure is read as it
//! is, and what only a cluster could say is told as such. The plan is made by the planner, of what the operator's own reader sees.
//!
//! ```text
//! files ─ documents ─► SecureRegistry, RegistryGrants, VantagePoints ─ objects ─► Desired ┐
//!                                                 Azure ─ reader ─► look ─► Seen ─────────┴─ plan ─► Prospect ─ changes ─► field by field
//! ```
//!
//! | only a cluster knows | a plan from files |
//! | --- | --- |
//! | who holds the claim | nobody, as for a new object; the registry's claim tag is read, as it stands in Azure |
//! | grants | those in the files; without any, everything that the object names counts as granted, which is told |
//! | vantage points | those in the files, others as not asked about; whether their agents report is not asked |
//! | proof, snapshot | none |
//! | approvals, break-glasses | none |

pub mod changes;
pub mod documents;
mod look;
mod objects;
mod prospect;

pub use documents::{Declared, Documents, DocumentsError};
pub use look::look;
pub use objects::desired;
pub use prospect::{Prospect, ProspectWait, Unasked, prospect};
